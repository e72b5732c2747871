// Names the program that is built here, so that go.sum has all that it needs.

//go:build tools

package hydra

import _ "github.com/ory/hydra/v2"
