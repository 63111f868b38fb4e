// Package gen is the root of what is generated from proto/: Go, OpenAPI and TypeScript. Written by hand are only this file,
// go/apierror, and the package.json and README of es; make gen replaces everything else.
package gen

import _ "embed"

//go:embed openapi/openapi.json
var openAPI []byte

// OpenAPI returns the OpenAPI 3.1 document of the REST API. Do not change it.
func OpenAPI() []byte { return openAPI }
