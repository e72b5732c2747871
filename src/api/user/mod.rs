//! `UserService`: people as members.

use crate::api::handler::{service, timestamp};
use crate::api::organization::members::user_status;
use crate::app::App;
use crate::domain::identity::{Principal, Reader};
use crate::domain::ids::MemberId;
use crate::error::Error;
use crate::store;
use proto::gitpod::v1::{
    GetAuthenticatedUserRequest, GetAuthenticatedUserResponse, User, UserService,
};

service! { METHODS: UserService {
    member reads get_authenticated_user(GetAuthenticatedUserRequest) -> GetAuthenticatedUserResponse { user } =
        get_authenticated(app, caller);
}}

/// `GetAuthenticatedUser`. Two round trips.
async fn get_authenticated(app: &App, caller: Reader<'_>) -> Result<User, Error> {
    if caller.subject.principal != Principal::User {
        return Err(Error::FailedPrecondition(
            "the token stands for a service account, which is no user: use the token of a person, or call IdentityService.GetAuthenticatedIdentity"
                .to_owned(),
        ));
    }
    let mut db = app.store.acquire().await?;
    let id = MemberId::from(caller.subject.id.as_uuid());
    let user = store::members::get(&mut db, caller.organization_id, id).await?;
    Ok(User {
        id: user.id.to_string(),
        organization_id: caller.organization_id.to_string(),
        name: user.name,
        avatar_url: user.avatar_url,
        created_at: timestamp(user.created_at).into(),
        status: user_status(user.status).into(),
        email: user.email,
        ..Default::default()
    })
}
