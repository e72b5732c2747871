//! Turns `proto/` into Rust: messages and service traits (`_connectrpc.rs`), validators for their
//! `buf.validate` rules (`validate/`), and the descriptor set that server reflection answers from.
//! Everything goes to `OUT_DIR`; nothing generated is committed.

use std::path::{Path, PathBuf};
use std::{env, fs};

use anyhow::{Context, Result};
use buffa::Message;
use buffa_codegen::generated::compiler::CodeGeneratorRequest;
use buffa_codegen::generated::descriptor::FileDescriptorSet;
use protoc_gen_protovalidate_buffa::{emit, scan};

/// The files whose messages and services become code. Imports need no mention.
const PROTOS: [&str; 15] = [
    "gitpod/v1/account.proto",
    "gitpod/v1/agent.proto",
    "gitpod/v1/count.proto",
    "gitpod/v1/environment.proto",
    "gitpod/v1/group.proto",
    "gitpod/v1/identity.proto",
    "gitpod/v1/login_provider.proto",
    "gitpod/v1/organization.proto",
    "gitpod/v1/pagination.proto",
    "gitpod/v1/user.proto",
    "google/rpc/error_details.proto",
    "rollcall/v1/provisioning.proto",
    "rollcall/v1/session.proto",
    "rollcall/v1/sign_in.proto",
    "rollcall/v1/status.proto",
];

fn main() -> Result<()> {
    println!("cargo:rerun-if-changed=proto");
    println!("cargo:rerun-if-changed=migrations");
    // The generated clients are behind a feature that nobody can switch on.
    println!("cargo:rustc-check-cfg=cfg(feature, values(\"generated-client\"))");
    let out = PathBuf::from(env::var_os("OUT_DIR").context("OUT_DIR is set by cargo")?);

    let descriptors = protox::Compiler::new(["proto"])?
        .include_source_info(true)
        .include_imports(true)
        .open_files(PROTOS)?
        .encode_file_descriptor_set();
    let descriptor_file = out.join("descriptors.bin");
    write_if_changed(&descriptor_file, &descriptors)?;

    connectrpc_build::Config::new()
        .descriptor_set(&descriptor_file)
        .files(&PROTOS)
        .gate_client_feature(true)
        .client_feature_name("generated-client")
        .include_file("_connectrpc.rs")
        .compile()?;
    generate_validators(&descriptors, &out.join("validate"))
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
        proto_module: "crate::api::proto".to_owned(),
        ..Default::default()
    };
    fs::create_dir_all(out)?;
    for file in emit::render_with_options(&scan::gather(&request)?, &options)? {
        let name = file.name.context("the generator names its files")?;
        write_if_changed(&out.join(name), file.content.unwrap_or_default().as_bytes())?;
    }
    Ok(())
}

fn write_if_changed(path: &Path, content: &[u8]) -> Result<()> {
    if fs::read(path).is_ok_and(|existing| existing == content) {
        return Ok(());
    }
    fs::write(path, content).with_context(|| format!("cannot write {}", path.display()))
}
