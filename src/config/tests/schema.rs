//! docs/kban.schema.json, by which editors complete and check kban.toml: made of the structs that read it, so that it says
//! what they take. `KBAN_BLESS=1 cargo test schema` renews it.

use std::borrow::Cow;
use std::path::Path;

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::{Value, json};

use super::documented::{DOCUMENTED, opened};
use crate::config::VENDOR;
use crate::config::choices::*;
use crate::config::duration::{BanTime, Period};
use crate::config::feed::{ListPath, ListUrl, Words};
use crate::config::file::File;
use crate::config::journalmatch::{JournalMatch, JournalMatches};
use crate::config::judgement::{Counts, Factor, Mode, Switch, Widest};
use crate::config::network::{Entry, List, Network};
use crate::config::ports::{Port, Ports, Protocols};
use crate::config::size::StoreSize;
use crate::config::source::{Endpoints, JournalDirectory, Listen, Namespace, PipePath, Sender, Senders};
use crate::config::value::{
    At, Count, FeedName, FilterName, GroupName, Ipv6Prefix, JailName, LogPath, LogPaths, SourceName,
    SourceNames, Table, Text,
};
use crate::service::Protocol;

/// What says of itself only how it is typed; `$of` are its parameters.
macro_rules! typed {
    ($(@[$($of:tt)*])? $name:ty, |$generator:ident| $schema:expr) => {
        impl $(<$($of)*>)? JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                std::any::type_name::<Self>().into()
            }

            fn json_schema($generator: &mut SchemaGenerator) -> Schema {
                $schema
            }
        }
    };
}

/// The words that a value of a few words can be, out of the sentence that names them.
fn words<T: Text>() -> Vec<&'static str> {
    T::EXPECTED.split('"').skip(1).step_by(2).collect()
}

/// One of them, or a list.
fn one_or_more<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    let one = T::json_schema(generator);
    json_schema!({"anyOf": [one, {"type": "array", "items": one, "minItems": 1}]})
}

/// Values of a few words.
macro_rules! of_words {
    ($($name:ty),+) => {
        $(typed!($name, |_generator| json_schema!({"enum": words::<$name>()}));)+

        #[test]
        fn every_word_is_one() {
            $(
                assert!(words::<$name>().len() > 1);
                for word in words::<$name>() {
                    assert!(<$name>::read(word).is_ok(), "{word}");
                }
            )+
        }
    };
}

/// Values that are written as a string, and have more rules than a schema can say.
macro_rules! of_text {
    ($($name:ty),+) => { $(typed!($name, |_generator| json_schema!({"type": "string", "minLength": 1}));)+ };
}

/// What names tables.
macro_rules! of_names {
    ($($name:ty),+) => {
        $(typed!($name, |_generator| json_schema!({"type": "string", "pattern": "^[A-Za-z0-9._-]{1,64}$"}));)+
    };
}

of_words!(FirewallVerdict, UseDns, LogFormat, Ownership, StoreMode, Neighbour, Mode, Counts, Protocol);
of_text!(
    BanTime,
    Period,
    ListPath,
    ListUrl,
    JournalMatch,
    Entry,
    Network,
    StoreSize,
    JournalDirectory,
    Listen
);
of_text!(Namespace, PipePath, Sender, FilterName, GroupName, LogPath, Interface);
of_names!(JailName, FeedName, SourceName);
typed!(LogPrefix, |_generator| json_schema!({"type": "string"}));
typed!(Ipv6Prefix, |_generator| json_schema!({"enum": [128, 64, 56, 48]}));
typed!(Widest, |_generator| json_schema!({"enum": [64, 56, 48]}));
typed!(Factor, |_generator| json_schema!({"type": "number", "minimum": 1, "maximum": 1000}));
typed!(Words, |_generator| json_schema!({"type": "array", "items": {"type": "string"}}));
typed!(Port, |_generator| json_schema!({
    "anyOf": [{"type": "integer", "minimum": 1, "maximum": 65535}, {"type": "string", "minLength": 1}]
}));
typed!(Ports, |generator| one_or_more::<Port>(generator));
typed!(Protocols, |generator| one_or_more::<Protocol>(generator));
typed!(LogPaths, |generator| one_or_more::<LogPath>(generator));
typed!(SourceNames, |generator| one_or_more::<SourceName>(generator));
typed!(JournalMatches, |generator| one_or_more::<JournalMatch>(generator));
typed!(Endpoints, |generator| one_or_more::<Listen>(generator));
typed!(Senders, |generator| one_or_more::<Sender>(generator));
typed!(@[T: JsonSchema] At<T>, |generator| T::json_schema(generator));
typed!(@[T: JsonSchema] Table<T>, |generator| T::json_schema(generator));
typed!(@[T: JsonSchema] List<T>, |generator| <Vec<T>>::json_schema(generator));
typed!(@[T: JsonSchema] Switch<T>, |generator| {
    let table = T::json_schema(generator);
    json_schema!({"anyOf": [{"type": "boolean"}, table]})
});
typed!(@[const MIN: u32, const MAX: u32] Count<MIN, MAX>, |_generator| {
    json_schema!({"type": "integer", "minimum": MIN, "maximum": MAX})
});

/// TOML has no null: what may be left out is what it is. And where a comment's lines end is no business of an editor's.
fn tidied(schema: &mut Value) {
    match schema {
        Value::Array(all) => all.iter_mut().for_each(tidied),
        Value::Object(object) => {
            object.values_mut().for_each(tidied);
            if let Some(Value::String(text)) = object.get_mut("description") {
                *text = text.replace('\n', " ");
            }
            if let Some(Value::Array(types)) = object.get_mut("type") {
                types.retain(|one| one != "null");
                if let [one] = types.as_slice() {
                    let one = one.clone();
                    object.insert("type".into(), one);
                }
            }
            if let Some(Value::Array(values)) = object.get_mut("enum") {
                values.retain(|one| !one.is_null());
            }
            if let Some(Value::Array(choices)) = object.get_mut("anyOf") {
                choices.retain(|one| one != &json!({"type": "null"}));
                if let [Value::Object(one)] = choices.as_slice() {
                    let one = one.clone();
                    object.remove("anyOf");
                    for (key, value) in one {
                        object.entry(key).or_insert(value);
                    }
                }
            }
        }
        _ => {}
    }
}

/// What an editor shows beside a key: what it means in `[defaults]` as well, and its value if it is left out.
fn explained(schema: &mut Value) {
    let described = schema["properties"]["defaults"]["properties"].clone();
    let jails = schema["properties"]["jail"]["patternProperties"].as_object_mut().unwrap();
    let jail = jails.values_mut().next().unwrap();
    for (key, own) in jail["properties"].as_object_mut().unwrap() {
        let as_there = own["description"].as_str().and_then(|text| text.strip_prefix("As in `[defaults]`"));
        if let Some(more) = as_there {
            let there = described[key]["description"].as_str().unwrap().trim_end_matches('.');
            own["description"] = format!("{there}{more} Left out, as `[defaults]` says.").into();
        }
    }
    let built_in: toml::Table = VENDOR.parse().unwrap();
    for table in ["defaults", "firewall", "store", "control"] {
        for (key, value) in built_in[table].as_table().unwrap() {
            schema["properties"][table]["properties"][key]["default"] = serde_json::to_value(value).unwrap();
        }
    }
}

fn made() -> Value {
    let settings =
        SchemaSettings::draft07().for_deserialize().with(|settings| settings.inline_subschemas = true);
    let mut schema = settings.into_generator().into_root_schema_for::<File>().to_value();
    tidied(&mut schema);
    explained(&mut schema);
    schema["title"] = "kban.toml".into();
    schema["description"] = "The configuration of kban, and each file in kban.d: see kban.toml(5).".into();
    schema
}

#[test]
fn what_is_shipped_is_what_the_structs_say() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/kban.schema.json");
    let made = serde_json::to_string_pretty(&made()).unwrap() + "\n";
    if std::env::var_os("KBAN_BLESS").is_some() {
        std::fs::write(&path, &made).unwrap();
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(kept == made, "docs/kban.schema.json is old: run KBAN_BLESS=1 cargo test schema");
}

#[test]
fn it_takes_what_is_documented_and_built_in() {
    let schema = jsonschema::validator_for(&made()).unwrap();
    for text in [DOCUMENTED, &opened().0, VENDOR] {
        let read: Value = serde_json::to_value(text.parse::<toml::Table>().unwrap()).unwrap();
        let wrong: Vec<String> =
            schema.iter_errors(&read).map(|error| format!("{}: {error}", error.instance_path())).collect();
        assert!(wrong.is_empty(), "{wrong:#?}");
    }
}

#[test]
fn what_it_refuses_is_refused_by_kban_and_the_other_way_round() {
    let schema = jsonschema::validator_for(&made()).unwrap();
    for (right, text) in [
        (true, "[jail.\"a.b\"]\nport = [22, \"5901-5910\", \"ssh\"]\nprotocol = \"udp\""),
        (true, "[defaults]\nescalate = true\nsubnet = { after = 3, widest_ipv6 = 48 }\ntrust = false"),
        (true, "[defaults]\nescalate = { factor = 1.5, multipliers = [1, 2.5], max = \"5w\" }"),
        (true, "[jail.x]\nlogpath = [\"/var/log/a\", \"/var/log/b\"]\nipv6_prefix = 56\nformat = \"cri\""),
        (true, "[source.x]\nsyslog = \"udp://127.0.0.1:514\"\n[firewall]\nprotect = []"),
        (false, "bantime = \"1h\""),
        (false, "[default]\nmaxretry = 5"),
        (false, "[defaults]\nmaxretr = 5"),
        (false, "[defaults]\nmaxretry = \"5\""),
        (false, "[defaults]\nmaxretry = 0"),
        (false, "[defaults]\nmax_tracked = 1.5"),
        (false, "[defaults]\nbantime = 600"),
        (false, "[defaults]\nignoreip = \"127.0.0.1\""),
        (false, "[defaults]\nipv6_prefix = 60"),
        (false, "[defaults]\nmode = \"dry\""),
        (false, "[defaults]\nescalate = { factor = 0.5 }"),
        (false, "[defaults]\nescalate = { facto = 2 }"),
        (false, "[defaults]\nport = 0"),
        (false, "[defaults]\nport = []"),
        (false, "[jail.x]\nenabled = \"yes\""),
        (false, "[jail.\"a b\"]\nenabled = true"),
        (false, "[[jail.x]]\nenabled = true"),
        (false, "[firewall]\nverdict = \"tarpit\""),
        (false, "firewall = 5"),
    ] {
        let read: Value = serde_json::to_value(text.parse::<toml::Table>().unwrap()).unwrap();
        assert_eq!(toml::from_str::<File>(text).is_ok(), right, "kban: {text}");
        assert_eq!(schema.is_valid(&read), right, "the schema: {text}");
    }
}
