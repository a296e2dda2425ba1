//! The macros for enums whose variants are label values.

/// `from_label` and `Display` for a type with `ALL` and `label`.
macro_rules! from_label {
    ($type:ident) => {
        impl $type {
            pub fn from_label(label: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|value| value.label() == label)
            }
        }

        impl std::fmt::Display for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.label())
            }
        }
    };
}

macro_rules! labels {
    ($(#[$doc:meta])* $type:ident { $($(#[$vdoc:meta])* $name:ident = $label:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u8)]
        pub enum $type { $($(#[$vdoc])* $name),* }

        impl $type {
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            pub fn label(self) -> &'static str {
                match self { $(Self::$name => $label),* }
            }
        }

        $crate::model::from_label!($type);
    };
}

/// An enum of labels whose values have a meaning: what has happened, and what the operator does.
macro_rules! described {
    ($(#[$doc:meta])* $type:ident { $($name:ident = $label:literal => $meaning:literal,)* }) => {
        $crate::model::labels::labels! { $(#[$doc])* $type { $($name = $label,)* } }

        impl $type {
            pub fn meaning(self) -> &'static str {
                match self { $(Self::$name => $meaning),* }
            }
        }
    };
}

pub(crate) use {described, from_label, labels};
