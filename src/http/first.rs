//! The link with which the first administrator enters, once.

use std::sync::Mutex;

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::domain::token::Token;

/// A code that opens the console with a token, once. It is for a server of one process, which its operator has just started.
#[derive(Debug)]
pub struct First {
    digest: [u8; 32],
    token: Mutex<Option<Token>>,
}

impl First {
    /// A code of random bytes for a token, and the code.
    pub fn new(bytes: [u8; 32], token: Token) -> (Self, String) {
        let code: String = bytes.iter().map(|b| format!("{b:02x}")).collect();
        let first = Self {
            digest: Sha256::digest(&code).into(),
            token: Mutex::new(Some(token)),
        };
        (first, code)
    }

    /// The token, for whoever has the code and is the first to have it.
    pub fn take(&self, code: &str) -> Option<Token> {
        let digest: [u8; 32] = Sha256::digest(code).into();
        let is_it = bool::from(digest.ct_eq(&self.digest));
        is_it.then(|| self.token.lock().ok()?.take())?
    }
}
