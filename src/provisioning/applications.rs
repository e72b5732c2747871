//! The secrets of applications.

use crate::app::Operator;
use crate::domain::application::{Application, ClientAuthentication};
use crate::domain::token::{Token, TokenKind};

/// Whether an application proves itself with a secret.
pub const fn takes_secret(authentication: ClientAuthentication) -> bool {
    matches!(
        authentication,
        ClientAuthentication::SecretBasic | ClientAuthentication::SecretPost
    )
}

/// Makes a new secret of an application, which only its digest is kept of; `None` for one that has no secret.
pub fn new_secret(operator: &Operator, application: &Application) -> Option<Token> {
    let organization =
        Some(application.organization_id).filter(|_| !application.is_of_installation());
    let id = application.id.as_uuid();
    takes_secret(application.settings.authentication).then(|| {
        operator
            .random
            .token(TokenKind::Application, organization, id)
    })
}
