//! What `banctl top` looks like: from 80 columns and 24 lines up, and less of it where there is less room.

use jiff::Timestamp;
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::symbols::bar;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Clear, Paragraph, RenderDirection, Row, Sparkline, Table, TableState, Wrap};

use super::state::{Mode, SECONDS, State};
use crate::cli::output::{harmless, local};
use crate::cli::status;
use crate::jail::shown;

/// Where there are no blocks.
const ASCII: bar::Set<'static> = bar::Set {
    full: "#",
    seven_eighths: "#",
    three_quarters: "+",
    five_eighths: "+",
    half: "=",
    three_eighths: "-",
    one_quarter: "-",
    one_eighth: ".",
    empty: " ",
};

const QUIET: Style = Style::new().fg(Color::DarkGray);
const BOLD: Style = Style::new().add_modifier(Modifier::BOLD);
const WARNING: Style = Style::new().fg(Color::Yellow);
/// How many lines the jails and the events have at most.
const JAILS: u16 = 5;
const EVENTS: u16 = 6;

/// Draws everything.
pub(super) fn draw(frame: &mut Frame<'_>, state: &State) {
    let area = frame.area();
    let jails = state.status.as_ref().map_or(0, |status| status.jails.len());
    let jails = u16::try_from(jails).unwrap_or(u16::MAX).min(JAILS);
    let small = area.height < 20;
    let graphs = if small { 2 } else { 4 };
    let [head, trouble, graph, jail, list, events, keys] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Length(1),
        Constraint::Length(graphs),
        Constraint::Length(if small { 0 } else { jails + 2 }),
        Constraint::Min(3),
        Constraint::Length(if small { 0 } else { EVENTS + 1 }),
        Constraint::Length(1),
    ])
    .areas(area);
    draw_head(frame, state, head, trouble);
    draw_graphs(frame, state, graph);
    draw_jails(frame, state, jail);
    draw_list(frame, state, list);
    draw_events(frame, state, events);
    draw_keys(frame, state, keys);
    if let Mode::Reading { about, text, top } = &state.mode {
        let room = Rect { height: area.height.saturating_sub(1), ..area };
        frame.render_widget(Clear, room);
        let mut lines = vec![Line::styled(format!("why {about}"), BOLD), Line::raw("")];
        lines.extend(text.lines().map(|line| Line::raw(harmless(line))));
        frame.render_widget(Paragraph::new(lines).wrap(Wrap { trim: false }).scroll((*top, 0)), room);
    }
}

fn draw_head(frame: &mut Frame<'_>, state: &State, head: Rect, trouble: Rect) {
    let (title, warning) = match (&state.status, &state.silent) {
        (_, Some(silent)) => ("banctl top".to_owned(), Some(silent.clone())),
        (None, None) => ("banctl top: asking kband".to_owned(), None),
        (Some(status), None) => {
            let packets = status
                .firewall
                .packets
                .map_or_else(String::new, |packets| format!(", {packets} packets dropped"));
            let warning = status.warnings.first().map(|first| {
                let more = status.warnings.len() - 1;
                let more = if more > 0 { format!("(+{more}) ") } else { String::new() };
                format!("{more}{}", harmless(first))
            });
            (format!("{}{packets}", status::headline(status, Timestamp::now())), warning)
        }
    };
    frame.render_widget(Line::styled(title, BOLD), head);
    frame.render_widget(Line::styled(warning.unwrap_or_default(), WARNING), trouble);
}

fn draw_graphs(frame: &mut Frame<'_>, state: &State, area: Rect) {
    let [failures, bans] = Layout::vertical([Constraint::Ratio(1, 2); 2]).areas(area);
    let set = if state.blocks { bar::NINE_LEVELS } else { ASCII };
    for (what, counts, colour, area) in
        [("failures", &state.failures, Color::Yellow, failures), ("bans", &state.bans, Color::Red, bans)]
    {
        // The second that runs is not full yet.
        let full: Vec<u64> = counts.iter().skip(1).copied().collect();
        let minute: u64 = full.iter().take(60).sum();
        let [label, graph] = Layout::horizontal([Constraint::Length(16), Constraint::Min(10)]).areas(area);
        let text = vec![Line::raw(what), Line::styled(format!("{minute} a minute"), QUIET)];
        frame.render_widget(Paragraph::new(text), label);
        let graph = Rect { width: graph.width.min(u16::try_from(SECONDS).unwrap_or(u16::MAX)), ..graph };
        let sparkline = Sparkline::default()
            .data(full)
            .bar_set(set.clone())
            .direction(RenderDirection::RightToLeft)
            .style(Style::new().fg(colour));
        frame.render_widget(sparkline, graph);
    }
}

fn draw_jails(frame: &mut Frame<'_>, state: &State, area: Rect) {
    let Some(status) = &state.status else { return };
    let mut jails: Vec<_> = status.jails.iter().collect();
    jails.sort_by_key(|jail| std::cmp::Reverse((jail.today.failures, jail.banned)));
    let rows = jails.iter().map(|jail| {
        Row::new([
            harmless(&jail.name),
            jail.banned.to_string(),
            jail.today.bans.to_string(),
            jail.today.failures.to_string(),
            jail.tracked.to_string(),
        ])
    });
    let widths = [
        Constraint::Fill(1),
        Constraint::Length(8),
        Constraint::Length(11),
        Constraint::Length(15),
        Constraint::Length(8),
    ];
    let header = Row::new(["JAIL", "BANNED", "BANS TODAY", "FAILURES TODAY", "TRACKED"]).style(QUIET);
    frame.render_widget(Table::new(rows, widths).header(header), area);
}

fn draw_list(frame: &mut Frame<'_>, state: &State, area: Rect) {
    let rows = state.rows();
    let now = |last: Timestamp| local(last, "%T");
    let shown = rows.iter().map(|row| {
        let who = match row.members {
            1 => shown(&row.prefix),
            members => format!("{} ({members})", shown(&row.prefix)),
        };
        let style = if row.offender.banned.is_some() { Style::new().fg(Color::Red) } else { Style::new() };
        let is = if row.offender.banned.is_some() { "banned" } else { "" };
        let cells = [
            who,
            row.offender.lately().to_string(),
            row.offender.failures.to_string(),
            is.to_owned(),
            now(row.offender.last),
            row.offender.jail.clone(),
        ];
        Row::new(cells).style(style)
    });
    let narrow = area.width < 60;
    let if_wide = |width: Constraint| if narrow { Constraint::Length(0) } else { width };
    let widths = [
        Constraint::Fill(3),
        Constraint::Length(6),
        Constraint::Length(8),
        Constraint::Length(6),
        if_wide(Constraint::Length(8)),
        if_wide(Constraint::Fill(1)),
    ];
    let who = if state.networks { "NETWORK" } else { "OFFENDER" };
    let header = Row::new([who, "LATELY", "FAILURES", "", "LAST", "JAIL"]).style(QUIET);
    let table = Table::new(shown, widths)
        .header(header)
        .row_highlight_style(Style::new().add_modifier(Modifier::REVERSED));
    let selected = state.selected.min(rows.len().saturating_sub(1));
    let mut at = TableState::default().with_selected((!rows.is_empty()).then_some(selected));
    frame.render_stateful_widget(table, area, &mut at);
    if rows.is_empty() {
        let below = Rect { y: area.y.saturating_add(1), height: area.height.saturating_sub(1), ..area };
        frame.render_widget(Line::styled("nobody has failed yet", QUIET), below);
    }
}

fn draw_events(frame: &mut Frame<'_>, state: &State, area: Rect) {
    let mut lines = vec![Line::styled("LATELY", QUIET)];
    lines.extend(state.lately().take(usize::from(EVENTS)).map(|(time, sentence)| {
        let time = local(*time, "%T ");
        Line::from(vec![Span::styled(time, QUIET), Span::raw(sentence.as_str())])
    }));
    frame.render_widget(Paragraph::new(lines), area);
}

fn draw_keys(frame: &mut Frame<'_>, state: &State, area: Rect) {
    let text = match &state.mode {
        Mode::Filter => format!("filter: {}_  (Enter keeps it, Esc clears it)", harmless(&state.filter)),
        Mode::Unban(prefix) => format!("let {} in again? y is yes, any other key no", shown(prefix)),
        Mode::Reading { .. } => "any key: back; j k: scroll".to_owned(),
        Mode::List if !state.said.is_empty() => state.said.clone(),
        Mode::List => {
            let filter = if state.filter.is_empty() {
                String::new()
            } else {
                format!(" [{}]", harmless(&state.filter))
            };
            let other = if state.networks { "offenders" } else { "networks" };
            format!(
                "q quit  s sort: {}  / filter{filter}  n {other}  j k select  w why  u unban",
                state.sort.word()
            )
        }
    };
    frame.render_widget(Line::styled(text, Style::new().add_modifier(Modifier::REVERSED)), area);
}

#[cfg(test)]
#[path = "view_tests.rs"]
mod tests;
