//! How the domain's types are stored.

use std::str::FromStr;

use sqlx::encode::IsNull;
use sqlx::error::BoxDynError;
use sqlx::postgres::{PgArgumentBuffer, PgHasArrayType, PgTypeInfo, PgValueRef, Postgres};
use sqlx::{Decode, Encode, Type};
use uuid::Uuid;

use super::scim_events::Outcome;
use crate::domain::application::Signature;
use crate::domain::event_stream::StreamStatus;
use crate::domain::identity::{Principal, Role};
use crate::domain::ids::{
    ApiTokenId, ApplicationId, EventStreamId, GrantId, GroupId, MemberId, MembershipId,
    OperatorTokenId, OrganizationId, PersonalAccessTokenId, ResourceId, ServiceAccountId,
    SessionId, SsoConfigurationId, SubjectId,
};
use crate::domain::member::MemberStatus;
use crate::domain::sign_in::{AttemptOutcome, Check};

/// Enumerations are stored by their names. A name that the enumeration does not have is an error when it is read.
macro_rules! by_name {
    ($($name:ty),+ $(,)?) => {$(
        impl Type<Postgres> for $name {
            fn type_info() -> PgTypeInfo {
                <str as Type<Postgres>>::type_info()
            }

            fn compatible(ty: &PgTypeInfo) -> bool {
                <str as Type<Postgres>>::compatible(ty)
            }
        }

        impl<'r> Decode<'r, Postgres> for $name {
            fn decode(value: PgValueRef<'r>) -> Result<Self, BoxDynError> {
                Ok(Self::from_str(<&str as Decode<Postgres>>::decode(value)?)?)
            }
        }

        impl<'q> Encode<'q, Postgres> for $name {
            fn encode_by_ref(&self, buffer: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
                <&str as Encode<Postgres>>::encode(self.as_str(), buffer)
            }
        }
    )+};
}

by_name!(
    Signature,
    AttemptOutcome,
    Check,
    MemberStatus,
    Outcome,
    Principal,
    Role,
    StreamStatus
);

/// Identifiers are stored as UUIDs.
macro_rules! by_uuid {
    ($($name:ty),+ $(,)?) => {$(
        impl Type<Postgres> for $name {
            fn type_info() -> PgTypeInfo {
                <Uuid as Type<Postgres>>::type_info()
            }
        }

        impl PgHasArrayType for $name {
            fn array_type_info() -> PgTypeInfo {
                <Uuid as PgHasArrayType>::array_type_info()
            }
        }

        impl<'q> Encode<'q, Postgres> for $name {
            fn encode_by_ref(&self, buffer: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
                <Uuid as Encode<Postgres>>::encode_by_ref(&self.as_uuid(), buffer)
            }
        }

        impl<'r> Decode<'r, Postgres> for $name {
            fn decode(value: PgValueRef<'r>) -> Result<Self, BoxDynError> {
                Ok(<Uuid as Decode<Postgres>>::decode(value)?.into())
            }
        }
    )+};
}

by_uuid!(
    ApiTokenId,
    ApplicationId,
    EventStreamId,
    GrantId,
    GroupId,
    MemberId,
    MembershipId,
    OperatorTokenId,
    OrganizationId,
    PersonalAccessTokenId,
    ResourceId,
    ServiceAccountId,
    SessionId,
    SsoConfigurationId,
    SubjectId,
);
