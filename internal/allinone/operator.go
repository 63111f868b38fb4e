package allinone

import "github.com/trivet-dev/trivet/platform/settings"

// DevOperator is the operator of trivet dev where TRIVET_OPERATORS names none.
const DevOperator = "user_operator"

// OperatorSettings are what the operator's commands need: the edge, and a session token of somebody whom TRIVET_OPERATORS names.
type OperatorSettings struct {
	// URL is the edge's address.
	URL string `env:"TRIVET_URL" default:"http://127.0.0.1:8080" help:"address of the edge that the operator's commands call"`
	// Token is a session token.
	Token settings.Secret `env:"TRIVET_TOKEN" help:"session token of an operator, for the operator's commands; default: one of the sandbox's user_operator"`
}
