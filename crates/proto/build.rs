//! Turns `proto/` into Rust: messages and service traits (`_connectrpc.rs`), validators for their
//! `buf.validate` rules (`validate/`), these rules in words (`words.rs`), and
//! the descriptor set that server reflection answers from. Everything goes to `OUT_DIR`; nothing
//! generated is committed.

mod words;

use std::path::{Path, PathBuf};
use std::{env, fs};

use anyhow::{Context, Result};
use buffa::Message;
use buffa_codegen::generated::compiler::CodeGeneratorRequest;
use buffa_codegen::generated::descriptor::{FileDescriptorProto, FileDescriptorSet};
use protoc_gen_protovalidate_buffa::scan::{FieldKind, MessageValidators};
use protoc_gen_protovalidate_buffa::{emit, scan};

/// Where the contract is, from this folder.
const PROTO: &str = "../../proto";

/// The files whose messages and services become code. Imports need no mention.
const PROTOS: [&str; 25] = [
    "gitpod/v1/account.proto",
    "gitpod/v1/agent.proto",
    "gitpod/v1/count.proto",
    "gitpod/v1/environment.proto",
    "gitpod/v1/event.proto",
    "gitpod/v1/group.proto",
    "gitpod/v1/identity.proto",
    "gitpod/v1/login_provider.proto",
    "gitpod/v1/organization.proto",
    "gitpod/v1/pagination.proto",
    "gitpod/v1/service_account.proto",
    "gitpod/v1/user.proto",
    "google/rpc/error_details.proto",
    "rollcall/v1/application.proto",
    "rollcall/v1/audit.proto",
    "rollcall/v1/brand.proto",
    "rollcall/v1/event.proto",
    "rollcall/v1/member.proto",
    "rollcall/v1/organization.proto",
    "rollcall/v1/provisioning.proto",
    "rollcall/v1/session.proto",
    "rollcall/v1/setup_link.proto",
    "rollcall/v1/sign_in.proto",
    "rollcall/v1/status.proto",
    "rollcall/v1/webhook.proto",
];

fn main() -> Result<()> {
    println!("cargo:rerun-if-changed={PROTO}");
    // The generated clients are behind a feature that nobody can switch on.
    println!("cargo:rustc-check-cfg=cfg(feature, values(\"generated-client\"))");
    let out = PathBuf::from(env::var_os("OUT_DIR").context("OUT_DIR is set by cargo")?);

    let mut compiler = protox::Compiler::new([PROTO])?;
    compiler
        .include_source_info(true)
        .include_imports(true)
        .open_files(PROTOS)?;
    let descriptors = compiler.encode_file_descriptor_set();
    let descriptor_file = out.join("descriptors.bin");
    write_if_changed(&descriptor_file, &descriptors)?;

    connectrpc_build::Config::new()
        .descriptor_set(&descriptor_file)
        .files(&PROTOS)
        .gate_client_feature(true)
        .client_feature_name("generated-client")
        .include_file("_connectrpc.rs")
        .compile()?;
    let rules = words::rules(&compiler.descriptor_pool())?;
    write_if_changed(&out.join("words.rs"), rules.as_bytes())?;
    generate_validators(&descriptors, &out)
}

/// What the `protoc-gen-protovalidate-buffa` plugin does, without a protoc to run it.
fn generate_validators(descriptors: &[u8], out: &Path) -> Result<()> {
    let set = FileDescriptorSet::decode_from_slice(descriptors)?;
    let request = CodeGeneratorRequest {
        file_to_generate: PROTOS.iter().map(ToString::to_string).collect(),
        proto_file: set.file,
        ..Default::default()
    };
    let options = emit::Options {
        proto_module: "crate".to_owned(),
        ..Default::default()
    };
    let mut messages = scan::gather(&request)?;
    let requests = in_requests(&request.proto_file, &messages);
    messages.retain(|message| requests.contains(&message.proto_name));
    let validators = out.join("validate");
    fs::create_dir_all(&validators)?;
    for file in emit::render_with_options(&messages, &options)? {
        let name = file.name.context("the generator names its files")?;
        // The library's function panics on durations that chrono cannot hold, which clients can send. Of the two
        // forms of each message only the borrowed one is checked: what is inline and not called is not compiled.
        let content = file
            .content
            .unwrap_or_default()
            .replace(
                "::protovalidate_buffa::cel::duration_from_secs_nanos",
                "crate::rules::duration_from_secs_nanos",
            )
            .replace("fn validate(", "#[inline]\n    fn validate(");
        write_if_changed(&validators.join(name), content.as_bytes())?;
    }
    Ok(())
}

/// The requests of all methods, and the messages in them: rules of what is only in responses are never asked for,
/// and take long to compile.
fn in_requests(files: &[FileDescriptorProto], messages: &[MessageValidators]) -> Vec<String> {
    let services = files.iter().flat_map(|file| &file.service);
    let methods = services.flat_map(|service| &service.method);
    let requests = methods.filter_map(|method| method.input_type.as_deref());
    let mut found: Vec<String> = requests
        .map(|name| name.trim_start_matches('.').to_owned())
        .collect();
    let mut seen = 0;
    while let Some(name) = found.get(seen) {
        let message = messages.iter().find(|m| m.proto_name == *name);
        let fields = message.into_iter().flat_map(|message| {
            let in_oneofs = message.oneof_rules.iter().flat_map(|oneof| &oneof.fields);
            message.field_rules.iter().chain(in_oneofs)
        });
        let inside: Vec<_> = fields
            .filter_map(|field| message_of(&field.field_type))
            .filter(|name| !found.iter().any(|known| known == name))
            .map(str::to_owned)
            .collect();
        found.extend(inside);
        seen += 1;
    }
    found
}

fn message_of(kind: &FieldKind) -> Option<&str> {
    match kind {
        FieldKind::Message { full_name } => Some(full_name),
        FieldKind::Optional(inner) | FieldKind::Repeated(inner) => message_of(inner),
        FieldKind::Map { value, .. } => message_of(value),
        _ => None,
    }
}

fn write_if_changed(path: &Path, content: &[u8]) -> Result<()> {
    if fs::read(path).is_ok_and(|existing| existing == content) {
        return Ok(());
    }
    fs::write(path, content).with_context(|| format!("cannot write {}", path.display()))
}
