//! What the values of settings are, as the schema and the reference name them.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident = $format:literal;)+) => {$(
        $(#[$doc])*
        pub(super) struct $name;

        impl JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                $format.into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ "type": "string", "format": $format })
            }
        }
    )+};
}

kinds! {
    /// A [`Span`](faas_types::Span).
    Duration = "duration";
    /// A [`ByteSize`](faas_types::ByteSize).
    Size = "size";
    /// An IP address, with a port where one is meant.
    Address = "address";
    /// A network, an address or a host name.
    Target = "network or host";
    /// A rule of an egress policy.
    Rule = "egress rule";
    /// A URL.
    Url = "URL";
    /// A host, with or without a port.
    Host = "host";
    /// A path; a relative one starts from the configuration file, or else from the current directory.
    PathText = "path";
    /// One word out of a few.
    Text = "text";
}
