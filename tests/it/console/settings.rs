//! The settings of an organization, and its end.

use serde_json::{Value, json};

use super::support::{MARKUP, Visitor, ask, is_escaped};
use crate::support::{Server, run};

async fn organization(server: &Server) -> Value {
    let request = json!({ "organizationId": server.organization });
    let method = "gitpod.v1.OrganizationService/GetOrganization";
    ask(server, method, request).await["organization"].take()
}

async fn is_provisioned_only(server: &Server) -> bool {
    let request = json!({ "organizationId": server.organization });
    let method = "gitpod.v1.OrganizationService/GetOrganizationPolicies";
    ask(server, method, request).await["policies"]["restrictAccountCreationToScim"] == true
}

#[test]
fn an_organization_is_renamed() {
    run(async {
        let server = Server::start().await;
        let mut visitor = Visitor::administrator(&server).await;
        let page = visitor.see("settings").await;
        assert!(
            page.contains(&format!("data-copy=\"{}\"", server.organization)),
            "{page}"
        );
        let page = visitor
            .done("settings/name", &[("name", " Acme Robotics ")])
            .await;
        assert!(page.contains("value=\"Acme Robotics\""), "{page}");
        assert_eq!(organization(&server).await["name"], "Acme Robotics");
        let long = "x".repeat(129);
        for name in ["", &long] {
            let page = visitor
                .refused("settings/name", &[("name", name)], "The name must")
                .await;
            assert!(
                page.contains(&format!(
                    "id=\"name\" name=\"name\" type=\"text\" value=\"{name}\""
                )),
                "{page}"
            );
        }
        assert_eq!(organization(&server).await["name"], "Acme Robotics");
    });
}

#[test]
fn who_may_become_a_member_is_set() {
    run(async {
        let server = Server::start().await;
        let mut visitor = Visitor::administrator(&server).await;
        let form = [
            ("provisioned_only", "yes"),
            ("domains", "Example.com\r\nbücher.example"),
        ];
        let page = visitor.done("settings/joining", &form).await;
        assert!(
            page.contains("\nexample.com\nxn--bcher-kva.example</textarea>"),
            "{page}"
        );
        assert!(page.contains("value=\"yes\" checked"), "{page}");
        assert!(is_provisioned_only(&server).await);
        // One that is wrong changes nothing, and nothing is lost.
        let form = [("domains", "example.org\nno domain")];
        let page = visitor
            .refused("settings/joining", &form, "“no domain” must")
            .await;
        assert!(
            page.contains("\nexample.org\nno domain</textarea>"),
            "{page}"
        );
        assert!(!page.contains("value=\"yes\" checked"), "{page}");
        assert!(is_provisioned_only(&server).await);
        visitor.done("settings/joining", &[("domains", "")]).await;
        assert!(!is_provisioned_only(&server).await);
        assert_eq!(
            organization(&server).await["inviteDomains"]["domains"],
            Value::Null
        );
    });
}

#[test]
fn an_organization_is_deleted_by_whoever_types_its_name() {
    run(async {
        let server = Server::start().await;
        let mut visitor = Visitor::administrator(&server).await;
        visitor
            .done("settings/name", &[("name", "Acme Robotics")])
            .await;
        for wrong in ["", "acme robotics", "Acme"] {
            let form = [("confirmation", wrong)];
            visitor
                .refused(
                    "settings/delete",
                    &form,
                    "This is not the name of the organization",
                )
                .await;
        }
        organization(&server).await;
        let reply = visitor
            .post("settings/delete", &[("confirmation", "Acme Robotics")])
            .await;
        assert_eq!(reply.status, 200);
        assert!(reply.text().contains("The organization is deleted"));
        assert_eq!(visitor.get("settings").await.status, 401);
    });
}

#[test]
fn an_operator_goes_on_to_the_other_organizations() {
    run(async {
        let server = Server::start().await;
        let operator = server.operator_token().await;
        let mut visitor = Visitor::with_token(&server, &operator).await;
        visitor
            .done("settings/name", &[("name", "Acme Robotics")])
            .await;
        let reply = visitor
            .post("settings/delete", &[("confirmation", "Acme Robotics")])
            .await;
        assert!(reply.text().contains("href=\"/console/organizations\""));
        assert_eq!(visitor.get("settings").await.status, 404);
    });
}

#[test]
fn attack_markup_in_the_settings() {
    run(async {
        let server = Server::start().await;
        let mut visitor = Visitor::administrator(&server).await;
        is_escaped(&visitor.done("settings/name", &[("name", MARKUP)]).await);
        let form = [("domains", "</textarea><script>alert(1)</script>")];
        is_escaped(&visitor.post("settings/joining", &form).await.text());
        is_escaped(
            &visitor
                .post("settings/delete", &[("confirmation", MARKUP)])
                .await
                .text(),
        );
    });
}
