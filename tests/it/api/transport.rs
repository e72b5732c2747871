//! The transport: paths, content types, GET, gRPC, gRPC-Web, compression, limits and errors.

use axum::body::Body;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use buffa::Message;
use http::{Method, Request, StatusCode, header};
use proto::gitpod::v1::{
    GetSSOConfigurationRequest, GetSSOConfigurationResponse, ListSSOConfigurationsRequest,
};
use serde_json::{Value, json};
use uuid::Uuid;

use super::methods::{call, described, is_stream};
use crate::support::{Reply, Server, run};

const GET_SSO: &str = "/gitpod.v1.OrganizationService/GetSSOConfiguration";

fn builder(method: Method, uri: &str, token: &str) -> http::request::Builder {
    Request::builder()
        .method(method)
        .uri(uri)
        .header(header::AUTHORIZATION, format!("Bearer {token}"))
}

async fn post(server: &Server, uri: &str, content_type: &str, body: impl Into<Body>) -> Reply {
    let request =
        builder(Method::POST, uri, &server.token).header(header::CONTENT_TYPE, content_type);
    server.send(request.body(body.into()).unwrap()).await
}

fn get_request(id: &Value) -> GetSSOConfigurationRequest {
    GetSSOConfigurationRequest {
        sso_configuration_id: id.as_str().unwrap().to_owned(),
        ..Default::default()
    }
}

#[test]
fn every_method_is_below_the_root_and_below_api_with_any_number_of_slashes() {
    run(async {
        let server = Server::start().await;
        let body = json!({ "ssoConfigurationId": server.sso("client").await["id"] });
        for prefix in ["", "/api", "/api/", "/", "//api//"] {
            post(
                &server,
                &format!("{prefix}{GET_SSO}"),
                "application/json",
                body.to_string(),
            )
            .await
            .ok();
        }
        for content_type in [
            "application/json; charset=utf-8",
            "application/json;charset=UTF-8",
        ] {
            post(&server, GET_SSO, content_type, body.to_string())
                .await
                .ok();
        }
    });
}

#[test]
fn equal_paths_are_one_path_to_all_layers() {
    run(async {
        let server = Server::start().await;
        let body = json!({ "ssoConfigurationId": server.sso("client").await["id"] }).to_string();
        let open = |method: Method, path: &str| {
            let request = Request::builder().method(method).uri(path);
            let request = request.header(header::CONTENT_TYPE, "application/json");
            server.send(request.body(Body::from(body.clone())).unwrap())
        };
        for path in [
            "/api/gitpod.v1.OrganizationService/GetSSO%43onfiguration",
            "/%61pi//gitpod%2Ev1%2eOrganization%53ervice/GetSSOConfiguration",
        ] {
            post(&server, path, "application/json", body.clone())
                .await
                .ok();
            open(Method::POST, path).await.error("unauthenticated");
        }
        let page = open(Method::GET, "/%6Cogin").await;
        assert_eq!(page.status, 200);
        assert!(page.headers.contains_key(header::CONTENT_SECURITY_POLICY));
        assert_eq!(open(Method::GET, "/%6Civez").await.status, 200);
        // An escaped slash separates nothing, and nothing leads upwards.
        for path in [
            "/api%2Fgitpod.v1.OrganizationService/GetSSOConfiguration",
            "/gitpod.v1.OrganizationService%2FGetSSOConfiguration",
            "/login/..%2Fapi/gitpod.v1.OrganizationService/GetSSOConfiguration",
            "/login/%2e%2e/gitpod.v1.OrganizationService/GetSSOConfiguration",
            "/%2567itpod.v1.OrganizationService/GetSSOConfiguration",
            "/gitpod.v1.OrganizationService/GetSSO%zzonfiguration",
            "/login%2F",
            "/%256Cogin",
        ] {
            let reply = post(&server, path, "application/json", body.clone()).await;
            assert!(
                [404, 501].contains(&reply.status.as_u16()),
                "{path}: {:?}",
                reply.bytes
            );
        }
    });
}

#[test]
fn headers_of_the_sdks_are_no_obstacle() {
    run(async {
        let server = Server::start().await;
        let request = server
            .request("ListSCIMConfigurations", &server.token)
            .header("x-stainless-lang", "python")
            .header("x-stainless-retry-count", "0")
            .header("connect-protocol-version", "1")
            .header(header::ACCEPT, "application/json")
            .header(header::USER_AGENT, "Gitpod/Python 0.11.0");
        server
            .send(request.body(Body::from("{}")).unwrap())
            .await
            .ok();
        let future = server
            .request("ListSCIMConfigurations", &server.token)
            .header("connect-protocol-version", "2");
        server
            .send(future.body(Body::from("{}")).unwrap())
            .await
            .error("invalid_argument");
    });
}

#[test]
fn binary_messages_are_answered_in_binary_and_errors_in_json() {
    run(async {
        let server = Server::start().await;
        let created = server.sso("client").await;
        let reply = post(
            &server,
            GET_SSO,
            "application/proto",
            get_request(&created["id"]).encode_to_vec(),
        )
        .await;
        assert_eq!(reply.headers[header::CONTENT_TYPE], "application/proto");
        let response = GetSSOConfigurationResponse::decode_from_slice(&reply.bytes).unwrap();
        let configuration = response.sso_configuration.into_option().unwrap();
        assert_eq!(configuration.client_id, "client");
        assert_eq!(configuration.id, created["id"].as_str().unwrap());

        let missing = post(
            &server,
            GET_SSO,
            "application/proto",
            get_request(&json!(Uuid::nil())).encode_to_vec(),
        )
        .await;
        assert_eq!(missing.headers[header::CONTENT_TYPE], "application/json");
        missing.error("not_found");
        post(&server, GET_SSO, "application/proto", vec![0xff; 20])
            .await
            .error("invalid_argument");
    });
}

#[test]
fn reads_take_get_in_binary_and_json_and_with_the_headers_of_python() {
    run(async {
        let server = Server::start().await;
        let created = server.sso("client").await;
        let message = URL_SAFE_NO_PAD.encode(get_request(&created["id"]).encode_to_vec());
        let uri = format!("{GET_SSO}?connect=v1&base64=1&encoding=proto&message={message}");
        let request = builder(Method::GET, &uri, &server.token)
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .header(header::CONTENT_LENGTH, "0");
        let reply = server.send(request.body(Body::empty()).unwrap()).await;
        assert_eq!(reply.status, 200, "{:?}", reply.bytes);
        let response = GetSSOConfigurationResponse::decode_from_slice(&reply.bytes).unwrap();
        assert_eq!(response.sso_configuration.client_id, "client");

        let json = format!(
            "%7B%22ssoConfigurationId%22%3A{}%7D",
            created["id"].to_string().replace('"', "%22")
        );
        let uri = format!("/api{GET_SSO}?encoding=json&message={json}");
        let reply = server
            .send(
                builder(Method::GET, &uri, &server.token)
                    .body(Body::empty())
                    .unwrap(),
            )
            .await;
        assert_eq!(reply.ok()["ssoConfiguration"]["id"], created["id"]);
    });
}

#[test]
fn what_only_reads_takes_get_and_nothing_takes_put() {
    run(async {
        let server = Server::start().await;
        let send = async |verb: Method, path: &str| {
            let uri = format!("/{path}?encoding=json&message=%7B%7D");
            let request = builder(verb, &uri, &server.token).body(Body::empty());
            server.send(request.unwrap()).await
        };
        for method in described() {
            let path = &method.path;
            let mut refused = vec![Method::PUT, Method::DELETE, Method::PATCH];
            if method.takes_get {
                let got = send(Method::GET, path).await;
                let posted = call(&server, path, Some(&server.token), &json!({})).await;
                assert_eq!(got.status, posted.status, "{path}");
                assert_eq!(got.json()["message"], posted.json()["message"], "{path}");
            } else {
                refused.push(Method::GET);
            }
            for verb in refused {
                let reply = send(verb.clone(), path).await;
                assert_eq!(
                    reply.status,
                    StatusCode::METHOD_NOT_ALLOWED,
                    "{verb} {path}"
                );
                let allow = reply.headers[header::ALLOW].to_str().unwrap();
                assert!(allow.contains("POST"), "{verb} {path}: {allow}");
                let message = reply.json()["message"].to_string();
                assert!(message.contains("POST"), "{verb} {path}: {message}");
            }
        }
    });
}

#[test]
fn a_wrong_content_type_is_told_what_to_send() {
    run(async {
        let server = Server::start().await;
        for content_type in [
            "text/plain",
            "application/x-www-form-urlencoded",
            "application/xml",
            "nonsense",
        ] {
            let reply = post(&server, GET_SSO, content_type, "{}").await;
            assert_eq!(
                reply.status,
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "{content_type}"
            );
            assert!(
                reply.json()["message"]
                    .as_str()
                    .unwrap()
                    .contains("Content-Type: application/json")
            );
        }
        let none = builder(Method::POST, GET_SSO, &server.token)
            .body(Body::from("{}"))
            .unwrap();
        assert_eq!(
            server.send(none).await.status,
            StatusCode::UNSUPPORTED_MEDIA_TYPE
        );
    });
}

#[test]
fn authentication_comes_before_everything_about_the_content() {
    run(async {
        let server = Server::start().await;
        for (content_type, body) in [
            ("application/json", "{"),
            ("application/json", "{}"),
            ("application/proto", "\u{1}"),
        ] {
            let request = Request::post(GET_SSO).header(header::CONTENT_TYPE, content_type);
            server
                .send(request.body(Body::from(body)).unwrap())
                .await
                .error("unauthenticated");
        }
        let unknown = Request::post("/gitpod.v1.OrganizationService/CreateOrganization")
            .header(header::CONTENT_TYPE, "application/json")
            .body(Body::from("{}"));
        server.send(unknown.unwrap()).await.error("unauthenticated");
        let text = Request::post(GET_SSO)
            .header(header::CONTENT_TYPE, "text/plain")
            .body(Body::from("{}"));
        server.send(text.unwrap()).await.error("unauthenticated");
    });
}

#[test]
fn methods_that_are_not_here_are_unimplemented() {
    run(async {
        let server = Server::start().await;
        for path in [
            "/gitpod.v1.OrganizationService/CreateCustomDomain",
            "/gitpod.v1.OrganizationService/Nonsense",
            "/api/gitpod.v1.GroupService/ShareResourceWithPrincipal",
            "/gitpod.v1.RunnerService/ListRunners",
            "/api/gitpod.v1.RunnerService/ListRunners",
        ] {
            let reply = post(&server, path, "application/json", "{}").await;
            reply.error("unimplemented");
            assert_eq!(reply.headers["x-should-retry"], "false", "{path}");
        }
        let grpc = post(
            &server,
            "/gitpod.v1.UserService/GetPreference",
            "application/grpc",
            vec![0; 5],
        )
        .await;
        assert_eq!(grpc_status(&grpc), "12");
        let elsewhere = post(&server, "/elsewhere", "application/json", "{}").await;
        elsewhere.error("not_found");
    });
}

#[test]
fn nothing_that_a_client_sends_is_an_internal_error() {
    run(async {
        let server = Server::start().await;
        let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        for body in [
            "",
            "{",
            "[]",
            "null",
            "1",
            "\"x\"",
            "{\"ssoConfigurationId\":1}",
            "{\"ssoConfigurationId\":[\"x\"]}",
            "\u{0}",
            "\u{feff}{}",
            "{\"ssoConfigurationId\":\"\\ud800\"}",
            "{\"a\":1e999}",
            &deep,
            &format!("{{\"x\":{deep}}}"),
        ] {
            let reply = post(&server, GET_SSO, "application/json", body.to_owned()).await;
            reply.error("invalid_argument");
        }
        let update = "/gitpod.v1.OrganizationService/UpdateSSOConfiguration";
        for body in [
            r#"{"ssoConfigurationId":"00000000-0000-0000-0000-000000000000","state":"NONSENSE"}"#,
            r#"{"ssoConfigurationId":"00000000-0000-0000-0000-000000000000","claims":[1]}"#,
            r#"{"ssoConfigurationId":"00000000-0000-0000-0000-000000000000","additionalScopes":"x"}"#,
        ] {
            post(&server, update, "application/json", body)
                .await
                .error("invalid_argument");
        }
        let create = "/gitpod.v1.OrganizationService/CreateSCIMConfiguration";
        for duration in [
            "\"x\"",
            "\"1\"",
            "5",
            "\"999999999999999999999s\"",
            "\"315576000001s\"",
            "{}",
        ] {
            let body = format!(
                r#"{{"organizationId":"{}","ssoConfigurationId":"{}","tokenExpiresIn":{duration}}}"#,
                server.organization,
                Uuid::nil()
            );
            post(&server, create, "application/json", body)
                .await
                .error("invalid_argument");
        }
        let encoded = builder(Method::POST, GET_SSO, &server.token)
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::CONTENT_ENCODING, "gzip");
        let reply = server
            .send(encoded.body(Body::from("no gzip")).unwrap())
            .await;
        reply.error("invalid_argument");
        let reply = server
            .send(
                builder(
                    Method::GET,
                    &format!("{GET_SSO}?message=%FF&base64=1"),
                    &server.token,
                )
                .body(Body::empty())
                .unwrap(),
            )
            .await;
        reply.error("invalid_argument");
    });
}

#[test]
fn a_body_of_more_than_a_mebibyte_is_refused_and_not_tried_again() {
    run(async {
        let server = Server::start().await;
        let body = |padding: usize| {
            json!({ "ssoConfigurationId": Uuid::nil(), "x": "y".repeat(padding) }).to_string()
        };
        let fits = 1024 * 1024 - body(0).len();
        post(&server, GET_SSO, "application/json", body(fits))
            .await
            .error("not_found");
        let reply = post(&server, GET_SSO, "application/json", body(fits + 1)).await;
        reply.error("resource_exhausted");
        assert_eq!(reply.status, StatusCode::PAYLOAD_TOO_LARGE);
        assert_eq!(reply.headers["x-should-retry"], "false");

        let bomb = gzip(body(50_000_000).as_bytes());
        assert!(bomb.len() < 100_000);
        let request = builder(Method::POST, GET_SSO, &server.token)
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::CONTENT_ENCODING, "gzip");
        let reply = server.send(request.body(Body::from(bomb)).unwrap()).await;
        reply.error("resource_exhausted");
        assert_eq!(reply.status, StatusCode::PAYLOAD_TOO_LARGE);
    });
}

#[test]
fn gzip_is_read_and_written() {
    run(async {
        let server = Server::start().await;
        for i in 0..10 {
            server.sso(&format!("client-{i}")).await;
        }
        let body = json!({ "organizationId": server.organization }).to_string();
        let request = server
            .request("ListSSOConfigurations", &server.token)
            .header(header::CONTENT_ENCODING, "gzip")
            .header(header::ACCEPT_ENCODING, "gzip, deflate");
        let reply = server
            .send(request.body(Body::from(gzip(body.as_bytes()))).unwrap())
            .await;
        assert_eq!(reply.headers[header::CONTENT_ENCODING], "gzip");
        let mut text = String::new();
        std::io::Read::read_to_string(&mut flate2::read::GzDecoder::new(&*reply.bytes), &mut text)
            .unwrap();
        let list: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(list["ssoConfigurations"].as_array().unwrap().len(), 10);
    });
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(vec![], flate2::Compression::default());
    std::io::Write::write_all(&mut encoder, bytes).unwrap();
    encoder.finish().unwrap()
}

fn frame(message: &impl Message) -> Vec<u8> {
    let message = message.encode_to_vec();
    [
        &[0],
        &u32::try_from(message.len()).unwrap().to_be_bytes()[..],
        &message,
    ]
    .concat()
}

fn grpc_status(reply: &Reply) -> &str {
    let status = reply
        .headers
        .get("grpc-status")
        .or(reply.trailers.get("grpc-status"));
    status
        .unwrap_or_else(|| panic!("no grpc-status: {:?} {:?}", reply.headers, reply.bytes))
        .to_str()
        .unwrap()
}

#[test]
fn grpc_and_grpc_web_are_served_by_the_same_paths() {
    run(async {
        let server = Server::start().await;
        let id = server.sso("client").await["id"].clone();
        for uri in [GET_SSO.to_owned(), format!("/api{GET_SSO}")] {
            let reply = post(&server, &uri, "application/grpc", frame(&get_request(&id))).await;
            assert_eq!(grpc_status(&reply), "0", "{uri}");
            let response =
                GetSSOConfigurationResponse::decode_from_slice(&reply.bytes[5..]).unwrap();
            assert_eq!(response.sso_configuration.client_id, "client");
            let web = post(
                &server,
                &uri,
                "application/grpc-web+proto",
                frame(&get_request(&id)),
            )
            .await;
            let length = u32::from_be_bytes(web.bytes[1..5].try_into().unwrap()) as usize;
            GetSSOConfigurationResponse::decode_from_slice(&web.bytes[5..5 + length]).unwrap();
            assert!(String::from_utf8_lossy(&web.bytes[5 + length..]).contains("grpc-status: 0"));
        }
        let missing = post(
            &server,
            GET_SSO,
            "application/grpc",
            frame(&get_request(&json!(Uuid::nil()))),
        )
        .await;
        assert_eq!(grpc_status(&missing), "5");
        let invalid = ListSSOConfigurationsRequest::default();
        let list = "/gitpod.v1.OrganizationService/ListSSOConfigurations";
        let invalid = post(&server, list, "application/grpc", frame(&invalid)).await;
        assert_eq!(grpc_status(&invalid), "3");
        let anonymous = Request::post(GET_SSO).header(header::CONTENT_TYPE, "application/grpc");
        let anonymous = server
            .send(
                anonymous
                    .body(Body::from(frame(&get_request(&id))))
                    .unwrap(),
            )
            .await;
        assert_eq!(
            (anonymous.status, grpc_status(&anonymous)),
            (StatusCode::OK, "16")
        );
    });
}

#[test]
fn health_is_open_to_everybody() {
    run(async {
        let server = Server::start().await;
        for prefix in ["", "/api"] {
            for body in ["{}", r#"{"service":"gitpod.v1.OrganizationService"}"#] {
                let request = Request::post(format!("{prefix}/grpc.health.v1.Health/Check"))
                    .header(header::CONTENT_TYPE, "application/json");
                let reply = server.send(request.body(Body::from(body)).unwrap()).await;
                assert_eq!(reply.ok()["status"], "SERVING");
            }
        }
        for path in ["/livez", "/readyz"] {
            let reply = server
                .send(Request::get(path).body(Body::empty()).unwrap())
                .await;
            assert_eq!((reply.status, &*reply.bytes), (StatusCode::OK, &b"ok"[..]));
        }
    });
}

#[test]
fn every_answer_and_every_error_names_its_request() {
    run(async {
        let server = Server::start().await;
        let request = server
            .request("GetSSOConfiguration", &server.token)
            .header("x-request-id", "my-id_1.2");
        let reply = server
            .send(
                request
                    .body(Body::from(
                        json!({ "ssoConfigurationId": Uuid::nil() }).to_string(),
                    ))
                    .unwrap(),
            )
            .await;
        assert_eq!(reply.headers["x-request-id"], "my-id_1.2");
        let body = reply.json();
        let detail = body["details"]
            .as_array()
            .unwrap()
            .iter()
            .find(|d| d["type"] == "google.rpc.RequestInfo")
            .unwrap();
        let value = base64::engine::general_purpose::STANDARD_NO_PAD
            .decode(detail["value"].as_str().unwrap())
            .unwrap();
        assert!(String::from_utf8_lossy(&value).contains("my-id_1.2"));

        for bad in ["", "a b", "a\tb", &"x".repeat(65)] {
            let request = server
                .request("ListSCIMConfigurations", &server.token)
                .header("x-request-id", bad);
            let reply = server.send(request.body(Body::from("{}")).unwrap()).await;
            reply.headers["x-request-id"]
                .to_str()
                .unwrap()
                .parse::<Uuid>()
                .expect("an id of ours");
        }
    });
}

#[test]
fn the_rules_of_every_request_compile() {
    run(async {
        let server = Server::start().await;
        let all = described().into_iter();
        for method in all.filter(|method| !is_stream(&method.path)) {
            let reply = call(&server, &method.path, Some(&server.token), &json!({})).await;
            assert!(
                [200, 400, 403].contains(&reply.status.as_u16()),
                "{}: {}",
                method.path,
                reply.json()
            );
        }
    });
}
