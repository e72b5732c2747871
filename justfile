# The daily commands: `just` lists them. CONTRIBUTING.md has each without `just`.

_list:
    @just --list --unsorted

# Serve on http://127.0.0.1:8080, with an embedded PostgreSQL in ./rollcall-data.
serve:
    cargo run -- serve

# Fill the running server with an organization to look at.
demo:
    dev/demo

# Run all tests on the embedded PostgreSQL.
test:
    cargo test --locked

# Run all tests on a fresh PostgreSQL.
test-pg:
    .ci/with-postgres cargo test --locked

# Run the integration tests whose names contain this, on a fresh PostgreSQL.
one NAME:
    .ci/with-postgres cargo test --locked --test it {{ NAME }}

# Write the metadata of the checked queries anew, after a query or a migration changed.
prepare:
    .ci/with-postgres .ci/prepare-queries

# Check format, lints, licences and documentation, as CI does.
lint:
    .ci/run lint
