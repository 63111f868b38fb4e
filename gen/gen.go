// Package gen is the root of what is generated from proto/: Go, OpenAPI and TypeScript. This file alone is written by hand.
package gen

import _ "embed"

//go:embed openapi/trivet.swagger.json
var openAPI []byte

// OpenAPI returns the OpenAPI 2 document of the typed REST API. Do not change it.
func OpenAPI() []byte { return openAPI }
