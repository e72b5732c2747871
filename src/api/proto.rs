//! The messages and service traits of `proto/`.

#![expect(missing_docs, reason = "generated")]

connectrpc::include_generated!();
