//! `WebhookService`: addresses that events are sent to.

use buffa_types::google::protobuf::{Duration, Timestamp};
use serde_json::json;
use uuid::Uuid;

use crate::api::enums::{Prefixed, of_name, of_wire};
use crate::api::handler::{
    Owner, begin_owned, lifetime, moment, optional_id, owned, parse_id, timestamp,
};
use crate::api::paging::{Answer, Paging};
use crate::app::App;
use crate::domain::application::installation;
use crate::domain::audit::Change;
use crate::domain::event::Event;
use crate::domain::identity::{Reader, Writer};
use crate::domain::ids::WebhookId;
use crate::domain::webhook::{MAX_WEBHOOKS, Settings, Webhook};
use crate::error::{Error, Violation};
use crate::events::delivery::scope;
use crate::events::webhooks::{Endpoint, key, new_secret, seal};
use crate::store::deliveries::{Delivery, Range, Status};
use crate::store::receivers::Health;
use crate::store::{self, Connection};
use proto::rollcall::v1::{
    CreateWebhookRequest, DeleteWebhookRequest, DeliveryStatus, GetWebhookRequest,
    ListWebhookDeliveriesRequest, ListWebhooksRequest, ReplayWebhookDeliveriesRequest,
    RotateWebhookSecretRequest, SendTestEventRequest, SendTestEventResponse, UpdateWebhookRequest,
    Webhook as WireWebhook, WebhookDelivery,
};
use secrecy::ExposeSecret;

/// The most events that one request has sent again.
const MAX_REPLAYED: i64 = 100_000;

impl Prefixed for DeliveryStatus {
    const PREFIX: &'static str = "DELIVERY_STATUS_";
}

/// `CreateWebhook`: the secret is returned this once.
pub async fn create(
    app: &App,
    caller: Owner<Writer<'_>>,
    request: CreateWebhookRequest,
) -> Result<(WireWebhook, String), Error> {
    let now = app.clock.now();
    let settings = Settings {
        url: request.url,
        description: request.description,
        types: request.types,
        enabled: true,
        disabled_reason: String::new(),
    };
    check(app, &settings)?;
    let mut work = begin_owned(app, caller, now).await?;
    let organization_id = work.organization_id();
    if organization_id == installation() && app.store.is_distributed() {
        return Err(Error::FailedPrecondition(
            "with a database on several machines, the events of all organizations have no order: make a webhook in each organization, with the header Rollcall-Organization"
                .to_owned(),
        ));
    }
    if store::webhooks::count(&mut work, organization_id).await? >= MAX_WEBHOOKS {
        return Err(Error::FailedPrecondition(format!(
            "there are {MAX_WEBHOOKS} webhooks already, which is the most: delete one first"
        )));
    }
    let webhook = Webhook {
        organization_id,
        id: app.new_id(),
        settings,
        created_at: now,
        updated_at: now,
    };
    let secret = new_secret(app);
    let sealed = seal(app, organization_id, webhook.id, &secret)?;
    store::webhooks::insert(&mut work, &webhook, &sealed).await?;
    let key = key(&webhook);
    let cursor = store::events::now(&mut work, scope(key)).await?;
    store::receivers::insert_webhook(&mut work, key, &cursor).await?;
    work.commit(Change::created("CreateWebhook", &webhook))
        .await?;
    let secret = secret.expose_secret().to_owned();
    Ok((wire(webhook, None), secret))
}

fn check(app: &App, settings: &Settings) -> Result<(), Error> {
    settings.check()?;
    let url = settings.url.parse().map_err(Error::internal)?;
    let reachable = app.outgoing.check(&url);
    reachable.map_err(|error| Error::invalid("url", Violation::URI, error.to_string()))
}

/// `GetWebhook`. Two round trips.
pub async fn get(
    app: &App,
    caller: Owner<Reader<'_>>,
    request: GetWebhookRequest,
) -> Result<WireWebhook, Error> {
    let id = parse_id("webhook_id", &request.webhook_id)?;
    let mut db = app.store.acquire().await?;
    let webhook = store::webhooks::get(&mut db, owned(&caller), id).await?;
    shown(&mut db, webhook).await
}

async fn shown(db: &mut Connection, webhook: Webhook) -> Result<WireWebhook, Error> {
    let ids = [webhook.id.as_uuid()];
    let health = store::receivers::health(db, webhook.organization_id, &ids).await?;
    let health = health.into_iter().next().map(|(_, health)| health);
    Ok(wire(webhook, health))
}

/// `ListWebhooks`. Three round trips.
pub async fn list(
    app: &App,
    caller: Owner<Reader<'_>>,
    paging: Paging<'_>,
    request: ListWebhooksRequest,
) -> Result<Answer<WireWebhook>, Error> {
    let organization_id = owned(&caller);
    let list = paging.open("webhooks", organization_id, "", &request.pagination)?;
    let mut db = app.store.acquire().await?;
    let found = store::webhooks::list(&mut db, organization_id, list.page()).await?;
    let ids: Vec<Uuid> = found
        .items
        .iter()
        .map(|webhook| webhook.id.as_uuid())
        .collect();
    let mut health = store::receivers::health(&mut db, organization_id, &ids).await?;
    let mut of = |webhook: &Webhook| {
        let at = health
            .iter()
            .position(|(id, _)| *id == webhook.id.as_uuid());
        at.map(|at| health.swap_remove(at).1)
    };
    list.answer(
        found,
        |webhook| webhook.id.as_uuid(),
        |webhook| {
            let health = of(&webhook);
            wire(webhook, health)
        },
    )
}

/// `UpdateWebhook`: what is absent stays.
pub async fn update(
    app: &App,
    caller: Owner<Writer<'_>>,
    request: UpdateWebhookRequest,
) -> Result<WireWebhook, Error> {
    let id = parse_id("webhook_id", &request.webhook_id)?;
    let now = app.clock.now();
    let mut work = begin_owned(app, caller, now).await?;
    let organization_id = work.organization_id();
    let before = store::webhooks::lock(&mut work, organization_id, id).await?;
    let mut after = Webhook {
        updated_at: now,
        ..before.clone()
    };
    let settings = &mut after.settings;
    if let Some(url) = request.url {
        settings.url = url;
    }
    if let Some(description) = request.description {
        settings.description = description;
    }
    if let Some(types) = request.types.into_option() {
        settings.types = types.types;
    }
    if let Some(enabled) = request.enabled {
        settings.enabled = enabled;
        settings.disabled_reason.clear();
    }
    check(app, settings)?;
    store::webhooks::update(&mut work, &after).await?;
    let is_active = after.settings.enabled;
    store::receivers::set_active(&mut work, key(&after), is_active).await?;
    store::receivers::changed(&mut work, key(&after)).await?;
    work.commit(Change::updated("UpdateWebhook", &before, &after))
        .await?;
    let mut db = app.store.acquire().await?;
    shown(&mut db, after).await
}

/// `DeleteWebhook`: what is under way ends with it.
pub async fn delete(
    app: &App,
    caller: Owner<Writer<'_>>,
    request: DeleteWebhookRequest,
) -> Result<(), Error> {
    let id = parse_id("webhook_id", &request.webhook_id)?;
    let mut work = begin_owned(app, caller, app.clock.now()).await?;
    let organization_id = work.organization_id();
    let before = store::webhooks::lock(&mut work, organization_id, id).await?;
    work.be_patient().await?;
    store::receivers::delete(&mut work, key(&before)).await?;
    store::webhooks::delete(&mut work, organization_id, id).await?;
    work.commit(Change::deleted("DeleteWebhook", &before)).await
}

/// `RotateWebhookSecret`: the secret is returned this once.
pub async fn rotate_secret(
    app: &App,
    caller: Owner<Writer<'_>>,
    request: RotateWebhookSecretRequest,
) -> Result<(WireWebhook, String, Option<Timestamp>), Error> {
    let id: WebhookId = parse_id("webhook_id", &request.webhook_id)?;
    let now = app.clock.now();
    let kept_until = lifetime(request.keep_previous_for.as_option()).map(|time| now + time);
    let mut work = begin_owned(app, caller, now).await?;
    let organization_id = work.organization_id();
    let before = store::webhooks::lock(&mut work, organization_id, id).await?;
    let secret = new_secret(app);
    let sealed = seal(app, organization_id, id, &secret)?;
    store::webhooks::replace_secret(&mut work, organization_id, id, &sealed, kept_until, now)
        .await?;
    let after = Webhook {
        updated_at: now,
        ..before.clone()
    };
    store::receivers::changed(&mut work, key(&after)).await?;
    work.commit(Change::updated("RotateWebhookSecret", &before, &after))
        .await?;
    let secret = secret.expose_secret().to_owned();
    Ok((wire(after, None), secret, kept_until.map(timestamp)))
}

/// `SendTestEvent`: what came of it is the answer.
pub async fn send_test(
    app: &App,
    caller: Owner<Writer<'_>>,
    request: SendTestEventRequest,
) -> Result<SendTestEventResponse, Error> {
    let id = parse_id("webhook_id", &request.webhook_id)?;
    let organization_id = match &caller {
        Owner::Administrator(caller) => caller.organization_id,
        Owner::Operator(_) => installation(),
    };
    let endpoint = {
        let mut db = app.store.acquire().await?;
        let webhook = store::webhooks::get(&mut db, organization_id, id).await?;
        Endpoint::of(app, &mut db, webhook).await?
    };
    let event: Uuid = app.new_id();
    let body = json!({
        "id": event,
        "type": "test",
        "organization_id": organization_id,
        "timestamp": app.clock.now(),
        "subject": { "type": "webhook", "id": id },
        "data": {},
        "previous": {},
        "actor": null,
    });
    let sent = endpoint.send(app, &event.to_string(), &body).await;
    Ok(SendTestEventResponse {
        delivered: sent.is_taken,
        http_status: sent.http_status.map(i32::from).unwrap_or_default(),
        duration: duration(sent.milliseconds).into(),
        answer: sent.answer,
        ..Default::default()
    })
}

/// `ListWebhookDeliveries`. Three round trips.
pub async fn list_deliveries(
    app: &App,
    caller: Owner<Reader<'_>>,
    paging: Paging<'_>,
    request: ListWebhookDeliveriesRequest,
) -> Result<Answer<WebhookDelivery>, Error> {
    let organization_id = owned(&caller);
    let id = parse_id("webhook_id", &request.webhook_id)?;
    let status = of_wire(Status::ALL, &request.status);
    let list = paging.open(
        "webhook_deliveries",
        organization_id,
        format_args!("{id}{status:?}"),
        &request.pagination,
    )?;
    let mut db = app.store.acquire().await?;
    let webhook = store::webhooks::get(&mut db, organization_id, id).await?;
    let before = list.last_id().and_then(Event::seq_of);
    let found = store::deliveries::list(&mut db, key(&webhook), status, before, list.size).await?;
    list.answer(
        found,
        |delivery| Event::id_of(delivery.event_time, delivery.seq),
        wire_delivery,
    )
}

/// `ReplayWebhookDeliveries`.
pub async fn replay(
    app: &App,
    caller: Owner<Writer<'_>>,
    request: ReplayWebhookDeliveriesRequest,
) -> Result<i32, Error> {
    let id = parse_id("webhook_id", &request.webhook_id)?;
    let event: Option<Uuid> = optional_id("event_id", &request.event_id)?;
    let start = moment("start_time", request.start_time.as_option())?;
    let end = moment("end_time", request.end_time.as_option())?;
    let mut work = begin_owned(app, caller, app.clock.now()).await?;
    let organization_id = work.organization_id();
    let webhook = store::webhooks::lock(&mut work, organization_id, id).await?;
    if !webhook.settings.enabled {
        return Err(Error::FailedPrecondition(
            "the webhook is switched off: switch it on with UpdateWebhook first".to_owned(),
        ));
    }
    let key = key(&webhook);
    let count = match (event, start) {
        (Some(event), None) => {
            let seq = Event::seq_of(event).unwrap_or_default();
            if !store::deliveries::replay_one(&mut work, key, seq).await? {
                return Err(Error::NotFound("delivery of this webhook"));
            }
            1
        }
        (None, Some(from)) => {
            let scope = scope(key);
            let last = store::events::now(&mut work, scope).await?;
            let to = end.unwrap_or(last.time);
            let range = Range {
                after: store::events::place_of(&mut work, scope, from).await?,
                up_to: last.seq,
                from,
                to,
            };
            work.be_patient().await?;
            let types = webhook.settings.wanted();
            let count =
                store::deliveries::replay(&mut work, key, scope, &range, &types, MAX_REPLAYED + 1)
                    .await?;
            if count > MAX_REPLAYED.unsigned_abs() {
                return Err(Error::FailedPrecondition(format!(
                    "more than {MAX_REPLAYED} events happened in this time: give an end_time that is nearer, and ask again for the rest"
                )));
            }
            count
        }
        _ => {
            return Err(Error::invalid(
                "start_time",
                Violation::REQUIRED,
                "must be given where event_id is not, and left out where it is",
            ));
        }
    };
    let mut change = Change::updated("ReplayWebhookDeliveries", &webhook, &webhook);
    change.after =
        Some(json!({ "replayed": count, "event_id": event, "start_time": start, "end_time": end }));
    work.commit(change).await?;
    i32::try_from(count).map_err(Error::internal)
}

fn wire_delivery(delivery: Delivery) -> WebhookDelivery {
    let of_installation = delivery.event_organization_id == installation();
    WebhookDelivery {
        event_id: Event::id_of(delivery.event_time, delivery.seq).to_string(),
        event_type: delivery.kind,
        subject_id: delivery.subject_id.to_string(),
        organization_id: match of_installation {
            true => String::new(),
            false => delivery.event_organization_id.to_string(),
        },
        event_time: timestamp(delivery.event_time).into(),
        status: of_name::<DeliveryStatus>(&delivery.status).into(),
        tries: delivery.tries,
        tried_at: delivery.tried_at.map(timestamp).into(),
        next_try_at: delivery
            .next_try_at
            .filter(|_| delivery.status == Status::Waiting.as_str())
            .map(timestamp)
            .into(),
        http_status: delivery.http_status.map(i32::from).unwrap_or_default(),
        duration: delivery
            .milliseconds
            .map(|time| duration(time.unsigned_abs()))
            .into(),
        answer: delivery.answer,
        ..Default::default()
    }
}

fn duration(milliseconds: u32) -> Duration {
    Duration {
        seconds: i64::from(milliseconds / 1_000),
        nanos: i32::try_from(milliseconds % 1_000 * 1_000_000).unwrap_or_default(),
        ..Default::default()
    }
}

fn wire(webhook: Webhook, health: Option<Health>) -> WireWebhook {
    let settings = webhook.settings;
    WireWebhook {
        id: webhook.id.to_string(),
        url: settings.url,
        description: settings.description,
        types: settings.types,
        enabled: settings.enabled,
        disabled_reason: settings.disabled_reason,
        created_at: timestamp(webhook.created_at).into(),
        updated_at: timestamp(webhook.updated_at).into(),
        failing_since: health
            .and_then(|health| health.failing_since)
            .map(timestamp)
            .into(),
        ..Default::default()
    }
}
