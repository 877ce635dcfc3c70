//! Back-references and conditions as choices between ways without them.
//!
//! `(?P<q>["'])rest(?P=q)` becomes `(?:(")rest"|(')rest')`, and `(?:(g)|x)...(?(g)yes|no)` becomes `(?:(g)...yes|x...no)`: the same
//! ways through the pattern, tried in the same order. What is behind the choice stands there more than once, with its groups.

use super::syntax::{Class, Greed, Group, Item, Node};

/// Each doubles what follows; so many conditions and back-references are resolved at most.
const MOST_CHOICES: usize = 3;
/// Of so many characters a back-reference may mean one.
const MOST_CHARACTERS: usize = 4;

/// Without back-references and conditions; none if one is of a kind that is not known here.
pub(super) fn resolved(node: &Node) -> Option<Node> {
    decided(&unfolded(node, MOST_CHOICES)?, MOST_CHOICES)
}

/// Without back-references. Exactly one character stands where the group does, so the branches exclude each other.
fn unfolded(node: &Node, left: usize) -> Option<Node> {
    let mut referenced = None;
    node.walk(&mut |node| {
        if let Node::Backreference(group) = node {
            referenced = Some(*group);
        }
    });
    let Some(wanted) = referenced else { return Some(node.clone()) };
    unfolded(&branched(node, wanted)?, left.checked_sub(1)?)
}

/// With a branch for each character that the group `wanted` may be; none if it is no such group, if it stands in a loop, or
/// if it is referred to from where it may not have matched.
fn branched(node: &Node, wanted: usize) -> Option<Node> {
    let parts = match node {
        Node::Concat(parts) => parts,
        Node::Case(on, inner) => return Some(Node::Case(*on, Box::new(branched(inner, wanted)?))),
        Node::Group(group) if group.index != wanted => {
            let Group { index, name, inner } = &**group;
            let (index, name, inner) = (*index, name.clone(), branched(inner, wanted)?);
            return Some(Node::Group(Box::new(Group { index, name, inner })));
        }
        Node::Alternation(branches) => return within(branches, wanted).map(Node::Alternation),
        _ => return None,
    };
    let place = parts.iter().position(|part| matches!(part, Node::Group(group) if group.index == wanted));
    let Some(place) = place else { return within(parts, wanted).map(Node::Concat) };
    let (before, [Node::Group(group), after @ ..]) = parts.split_at(place) else { return None };
    let branch = |c: char| {
        let (index, name) = (group.index, group.name.clone());
        let one = Node::Group(Box::new(Group { index, name, inner: Node::Literal(c) }));
        let same = |part: &Node| {
            part.map(&|node| (*node == Node::Backreference(wanted)).then_some(Node::Literal(c)))
        };
        Node::Concat(std::iter::once(one).chain(after.iter().map(same)).collect())
    };
    let choice = Node::Alternation(characters(&group.inner)?.into_iter().map(branch).collect());
    Some(Node::Concat(before.iter().cloned().chain([choice]).collect()))
}

/// The parts, with branches in those that refer to the group; each of them must have it itself.
fn within(parts: &[Node], wanted: usize) -> Option<Vec<Node>> {
    let part = |part: &Node| match (refers_to(part, wanted), holds_group(part, wanted)) {
        (false, _) => Some(part.clone()),
        (true, true) => branched(part, wanted),
        (true, false) => None,
    };
    parts.iter().map(part).collect()
}

/// The few characters of a class that lists them.
fn characters(inner: &Node) -> Option<Vec<char>> {
    let Node::Class(Class { negated: false, items }) = inner else { return None };
    let single = |item: &Item| match item {
        Item::Range(low, high) if low == high => Some(*low),
        _ => None,
    };
    let mut characters = items.iter().map(single).collect::<Option<Vec<char>>>()?;
    characters.sort_unstable();
    characters.dedup();
    (1..=MOST_CHARACTERS).contains(&characters.len()).then_some(characters)
}

fn refers_to(node: &Node, index: usize) -> bool {
    let mut found = false;
    node.walk(&mut |node| found |= *node == Node::Backreference(index));
    found
}

/// Without conditions.
fn decided(node: &Node, left: usize) -> Option<Node> {
    let conditions = conditions(node);
    if conditions.is_empty() {
        return Some(node.clone());
    }
    let parts = match node {
        Node::Case(on, inner) => return Some(Node::Case(*on, Box::new(decided(inner, left)?))),
        Node::Concat(parts) => parts,
        _ => return None,
    };
    let left = left.checked_sub(1)?;
    let (place, part, group) = parts.iter().enumerate().find_map(|(place, part)| {
        let group = conditions.iter().find(|group| holds_group(part, **group))?;
        Some((place, part, *group))
    })?;
    let (before, after) = (parts.get(..place)?, parts.get(place + 1..)?);
    let (with, without) = split(part, group)?;
    let way = |first: Node, taken: bool| {
        let rest = Node::Concat(std::iter::once(first).chain(after.iter().cloned()).collect());
        let chosen = rest.map(&|node| match node {
            Node::Conditional(of, yes, no) if *of == group => {
                Some(decide(if taken { yes } else { no }, group, taken))
            }
            _ => None,
        });
        decided(&chosen, left)
    };
    let both = Node::Alternation(vec![way(with, true)?, way(without, false)?]);
    Some(Node::Concat(before.iter().cloned().chain([both]).collect()))
}

/// A branch, with the same condition in it decided, too.
fn decide(branch: &Node, group: usize, taken: bool) -> Node {
    branch.map(&|node| match node {
        Node::Conditional(of, yes, no) if *of == group => {
            Some(decide(if taken { yes } else { no }, group, taken))
        }
        _ => None,
    })
}

/// The groups that conditions ask for.
fn conditions(node: &Node) -> Vec<usize> {
    let mut groups = Vec::new();
    node.walk(&mut |node| {
        if let Node::Conditional(group, ..) = node {
            groups.push(*group);
        }
    });
    groups
}

fn holds_group(node: &Node, index: usize) -> bool {
    let mut found = false;
    node.walk(&mut |node| found |= matches!(node, Node::Group(group) if group.index == index));
    found
}

/// The ways through `part` with the group, which come first, and those without.
fn split(part: &Node, index: usize) -> Option<(Node, Node)> {
    let is_group = |node: &Node| matches!(node, Node::Group(group) if group.index == index);
    match part {
        Node::Repeat(repeat) => {
            let optional = repeat.min == 0 && repeat.max == Some(1) && repeat.greed == Greed::Greedy;
            (optional && is_group(&repeat.inner)).then(|| (repeat.inner.clone(), Node::Empty))
        }
        Node::Alternation(branches) => {
            let (first, others) = branches.split_first()?;
            let alone = match first {
                Node::Concat(parts) => parts.len() == 1 && parts.iter().all(is_group),
                other => is_group(other),
            };
            let apart = alone && !others.is_empty() && !others.iter().any(|other| holds_group(other, index));
            apart.then(|| (first.clone(), Node::Alternation(others.to_vec())))
        }
        Node::Group(group) => {
            let (with, without) = split(&group.inner, index)?;
            let around = |inner| {
                let Group { index, name, .. } = &**group;
                Node::Group(Box::new(Group { index: *index, name: name.clone(), inner }))
            };
            Some((around(with), around(without)))
        }
        _ => None,
    }
}
