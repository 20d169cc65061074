//! One language's row in the list of languages.

use crate::declarations::Declarations;
use crate::ecosystem::Ecosystem;
use crate::imports::ImportSyntax;

/// What is known of the packages of one language.
#[derive(Clone, Copy)]
pub struct LanguagePackages {
    /// The language, as runtime names such as `python3.12` begin.
    pub language: &'static str,
    /// What is installed.
    pub ecosystem: &'static dyn Ecosystem,
    /// How declarations and imports are read, where they are.
    pub reading: Option<PackageReading>,
}

/// How the declarations and imports of one language are read.
#[derive(Clone, Copy)]
pub struct PackageReading {
    /// What is declared.
    pub declarations: &'static dyn Declarations,
    /// What is imported.
    pub imports: &'static dyn ImportSyntax,
}
