//! JSON in which objects are objects. What derives `Deserialize` takes an array for one, by the order of its fields: a caller would
//! write fields without their names, and each new field would change what that means.

use std::fmt;

use serde::de::{
    DeserializeSeed, Deserializer, EnumAccess, Error, MapAccess, SeqAccess, Unexpected, VariantAccess, Visitor,
};

/// A deserializer that takes no array where a struct is wanted, however deep inside.
pub(crate) struct NamedFields<D>(pub(crate) D);

/// A visitor, seed or access that hands the rule on to what lies inside.
struct Inside<T>(T);

/// The visitor of a struct.
struct OfStruct<V>(V);

macro_rules! forward {
    ($($method:ident($($name:ident: $kind:ty),*);)*) => {
        $(fn $method<V: Visitor<'de>>(self, $($name: $kind,)* visitor: V) -> Result<V::Value, D::Error> {
            self.0.$method($($name,)* Inside(visitor))
        })*
    };
}

macro_rules! visit {
    ($wrapper:ident, $($method:ident: $kind:ty;)*) => {
        $(fn $method<E: Error>(self, value: $kind) -> Result<V::Value, E> {
            self.0.$method(value)
        })*

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            self.0.expecting(f)
        }

        fn visit_none<E: Error>(self) -> Result<V::Value, E> {
            self.0.visit_none()
        }

        fn visit_unit<E: Error>(self) -> Result<V::Value, E> {
            self.0.visit_unit()
        }

        fn visit_some<D: Deserializer<'de>>(self, inner: D) -> Result<V::Value, D::Error> {
            self.0.visit_some(NamedFields(inner))
        }

        fn visit_newtype_struct<D: Deserializer<'de>>(self, inner: D) -> Result<V::Value, D::Error> {
            self.0.visit_newtype_struct(NamedFields(inner))
        }

        fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<V::Value, A::Error> {
            self.0.visit_map(Inside(map))
        }

        fn visit_enum<A: EnumAccess<'de>>(self, data: A) -> Result<V::Value, A::Error> {
            self.0.visit_enum(Inside(data))
        }
    };
}

macro_rules! visitor {
    ($wrapper:ident, $($special:tt)*) => {
        impl<'de, V: Visitor<'de>> Visitor<'de> for $wrapper<V> {
            type Value = V::Value;

            visit! {
                $wrapper,
                visit_bool: bool;
                visit_i8: i8;
                visit_i16: i16;
                visit_i32: i32;
                visit_i64: i64;
                visit_i128: i128;
                visit_u8: u8;
                visit_u16: u16;
                visit_u32: u32;
                visit_u64: u64;
                visit_u128: u128;
                visit_f32: f32;
                visit_f64: f64;
                visit_char: char;
                visit_str: &str;
                visit_borrowed_str: &'de str;
                visit_string: String;
                visit_bytes: &[u8];
                visit_borrowed_bytes: &'de [u8];
                visit_byte_buf: Vec<u8>;
            }

            $($special)*
        }
    };
}

// === impl NamedFields ===

impl<'de, D: Deserializer<'de>> Deserializer<'de> for NamedFields<D> {
    type Error = D::Error;

    forward! {
        deserialize_any();
        deserialize_bool();
        deserialize_i8();
        deserialize_i16();
        deserialize_i32();
        deserialize_i64();
        deserialize_i128();
        deserialize_u8();
        deserialize_u16();
        deserialize_u32();
        deserialize_u64();
        deserialize_u128();
        deserialize_f32();
        deserialize_f64();
        deserialize_char();
        deserialize_str();
        deserialize_string();
        deserialize_bytes();
        deserialize_byte_buf();
        deserialize_option();
        deserialize_unit();
        deserialize_unit_struct(name: &'static str);
        deserialize_newtype_struct(name: &'static str);
        deserialize_seq();
        deserialize_tuple(len: usize);
        deserialize_tuple_struct(name: &'static str, len: usize);
        deserialize_map();
        deserialize_enum(name: &'static str, variants: &'static [&'static str]);
        deserialize_identifier();
        deserialize_ignored_any();
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        self.0.deserialize_struct(name, fields, OfStruct(visitor))
    }

    fn is_human_readable(&self) -> bool {
        self.0.is_human_readable()
    }
}

// === impl Inside ===

visitor! {
    Inside,
    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<V::Value, A::Error> {
        self.0.visit_seq(Inside(seq))
    }
}

impl<'de, S: DeserializeSeed<'de>> DeserializeSeed<'de> for Inside<S> {
    type Value = S::Value;

    fn deserialize<D: Deserializer<'de>>(self, inner: D) -> Result<S::Value, D::Error> {
        self.0.deserialize(NamedFields(inner))
    }
}

impl<'de, A: SeqAccess<'de>> SeqAccess<'de> for Inside<A> {
    type Error = A::Error;

    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, A::Error> {
        self.0.next_element_seed(Inside(seed))
    }

    fn size_hint(&self) -> Option<usize> {
        self.0.size_hint()
    }
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for Inside<A> {
    type Error = A::Error;

    fn next_key_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, A::Error> {
        self.0.next_key_seed(Inside(seed))
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, A::Error> {
        self.0.next_value_seed(Inside(seed))
    }

    fn size_hint(&self) -> Option<usize> {
        self.0.size_hint()
    }
}

impl<'de, A: EnumAccess<'de>> EnumAccess<'de> for Inside<A> {
    type Error = A::Error;
    type Variant = Inside<A::Variant>;

    fn variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<(S::Value, Self::Variant), A::Error> {
        let (value, variant) = self.0.variant_seed(Inside(seed))?;
        Ok((value, Inside(variant)))
    }
}

impl<'de, A: VariantAccess<'de>> VariantAccess<'de> for Inside<A> {
    type Error = A::Error;

    fn unit_variant(self) -> Result<(), A::Error> {
        self.0.unit_variant()
    }

    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<S::Value, A::Error> {
        self.0.newtype_variant_seed(Inside(seed))
    }

    fn tuple_variant<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, A::Error> {
        self.0.tuple_variant(len, Inside(visitor))
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, A::Error> {
        self.0.struct_variant(fields, OfStruct(visitor))
    }
}

// === impl OfStruct ===

visitor! {
    OfStruct,
    fn visit_seq<A: SeqAccess<'de>>(self, _: A) -> Result<V::Value, A::Error> {
        Err(A::Error::invalid_type(Unexpected::Seq, &"an object with named fields"))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde::Deserialize;
    use serde_json::value::RawValue;

    use super::*;

    #[derive(Debug, Deserialize)]
    struct Point {
        x: u8,
    }

    #[derive(Debug, Deserialize)]
    #[serde(rename_all = "lowercase")]
    #[expect(dead_code, reason = "only read")]
    enum Shape {
        Dot(Point),
        Line { from: Point },
    }

    #[derive(Debug, Deserialize)]
    #[expect(dead_code, reason = "only read")]
    struct Drawing {
        points: Vec<Point>,
        named: BTreeMap<String, Point>,
        first: Option<Point>,
        shapes: Vec<Shape>,
        pair: (u8, u8),
        raw: Box<RawValue>,
        any: serde_json::Value,
    }

    fn read<T: serde::de::DeserializeOwned>(text: &str) -> Result<T, serde_json::Error> {
        T::deserialize(NamedFields(&mut serde_json::Deserializer::from_str(text)))
    }

    #[test]
    fn an_array_is_no_object_anywhere() {
        let drawing = |point: &str| {
            format!(
                r#"{{"points": [{point}], "named": {{"a": {point}}}, "first": {point}, "pair": [1, 2], "raw": [1.50],
                    "any": [{{"x": []}}], "shapes": [{{"dot": {point}}}, {{"line": {{"from": {point}}}}}]}}"#
            )
        };
        let good = read::<Drawing>(&drawing(r#"{"x": 1}"#)).expect("objects");
        assert_eq!((good.raw.get(), good.first.map(|point| point.x)), ("[1.50]", Some(1)));
        for (kind, text) in [("top", "[1]"), ("in a list", r#"[[1]]"#)] {
            assert!(read::<Point>(text).is_err(), "{kind}");
            assert!(read::<Vec<Point>>(text).is_err(), "{kind}");
        }
        assert!(read::<BTreeMap<String, Point>>(r#"{"a": [1]}"#).is_err());
        assert!(read::<Option<Point>>("[1]").is_err());
        for variant in [r#"{"dot": [1]}"#, r#"{"line": [{"x": 1}]}"#, r#"{"line": {"from": [1]}}"#] {
            let error = read::<Shape>(variant).expect_err(variant).to_string();
            assert!(error.contains("invalid type: sequence"), "{error}");
        }
    }
}
