//! The macro for enums whose variants are label values.

macro_rules! labels {
    ($(#[$doc:meta])* $type:ident { $($(#[$vdoc:meta])* $name:ident = $label:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u8)]
        pub enum $type { $($(#[$vdoc])* $name),* }

        impl $type {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// The label value.
            pub fn label(self) -> &'static str {
                match self { $(Self::$name => $label),* }
            }

            /// The one with this label.
            pub fn from_label(label: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|v| v.label() == label)
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.label())
            }
        }
    };
}

pub(super) use labels;
