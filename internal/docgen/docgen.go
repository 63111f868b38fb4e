// Package docgen writes the tables of the documentation from the code that
// they describe. A test compares them with what is committed.
package docgen

import (
	"fmt"
	"slices"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	accessv1 "github.com/trivet-dev/trivet/gen/go/trivet/access/v1"
	aiv1 "github.com/trivet-dev/trivet/gen/go/trivet/ai/v1"
	authv1 "github.com/trivet-dev/trivet/gen/go/trivet/auth/v1"
	billingv1 "github.com/trivet-dev/trivet/gen/go/trivet/billing/v1"
	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
	"github.com/trivet-dev/trivet/platform/errs"
	"github.com/trivet-dev/trivet/platform/grpcserver"
)

// Replace puts a table between a document's markers "<!-- name -->" and "<!-- /name -->", or in place of the whole document
// when the name is "".
func Replace(document, name, table string) (string, error) {
	if name == "" {
		return table, nil
	}
	begin, end := "<!-- "+name+" -->\n", "<!-- /"+name+" -->"
	before, rest, ok := strings.Cut(document, begin)
	if !ok {
		return "", fmt.Errorf("the document lacks the marker %q", strings.TrimSpace(begin))
	}
	_, after, ok := strings.Cut(rest, end)
	if !ok {
		return "", fmt.Errorf("the document lacks the marker %q", end)
	}
	return before + begin + table + end + after, nil
}

// Errors returns the table of error reasons.
func Errors() string {
	var b strings.Builder
	b.WriteString("| reason (`code`) | gRPC | HTTP | `error.type` of /v1 | `error.code` of /v1 | retry | when |\n|---|---|---|---|---|---|---|\n")
	for _, reason := range reasons() {
		m := errs.MappingOf(reason)
		fmt.Fprintf(&b, "| `%s` | %s | %d | `%s` | `%s` | %s | %s |\n", m.Code, m.GRPC, m.HTTP, m.OpenAIType, m.OpenAICode, retryOf(reason), meanings[reason])
	}
	return b.String()
}

// reasons returns all error reasons in the order of the contract.
func reasons() []errorsv1.ErrorReason {
	values := errorsv1.ErrorReason(0).Descriptor().Values()
	out := make([]errorsv1.ErrorReason, 0, values.Len())
	for i := range values.Len() {
		if reason := errorsv1.ErrorReason(values.Get(i).Number()); reason != errorsv1.ErrorReason_ERROR_REASON_UNSPECIFIED {
			out = append(out, reason)
		}
	}
	return out
}

// Rules returns the table of who may call which RPC.
func Rules() (string, error) {
	var b strings.Builder
	b.WriteString("| RPC | REST | who may call | scopes of an API key |\n|---|---|---|---|\n")
	for _, name := range Services() {
		found, err := protoregistry.GlobalFiles.FindDescriptorByName(protoreflect.FullName(name))
		if err != nil {
			return "", err
		}
		service, ok := found.(protoreflect.ServiceDescriptor)
		if !ok {
			return "", fmt.Errorf("%s is not a service", name)
		}
		for i := range service.Methods().Len() {
			method := service.Methods().Get(i)
			rule := grpcserver.RuleOf(name, string(method.Name()))
			fmt.Fprintf(&b, "| %s.%s | %s | %s | %s |\n", service.Name(), method.Name(), route(method), who(rule), code(rule.GetScopes()))
		}
	}
	return b.String(), nil
}

// Services returns the names of the services in the contract.
func Services() []string {
	return []string{authv1.AuthService_ServiceDesc.ServiceName, aiv1.AIService_ServiceDesc.ServiceName, billingv1.BillingService_ServiceDesc.ServiceName}
}

func who(rule *accessv1.Rule) string {
	switch rule.GetCaller() {
	case accessv1.Caller_CALLER_PUBLIC:
		return "anybody"
	case accessv1.Caller_CALLER_USER:
		return "a signed-in person or an API key"
	case accessv1.Caller_CALLER_ADMIN:
		return "an organization's admin, or a personal account's owner"
	case accessv1.Caller_CALLER_OPERATOR:
		return "an operator (TRIVET_OPERATORS), signed in"
	case accessv1.Caller_CALLER_INTERNAL:
		return "services only: " + strings.Join(rule.GetPeers(), ", ")
	case accessv1.Caller_CALLER_UNSPECIFIED:
	}
	return "nobody"
}

func code(words []string) string {
	quoted := make([]string, 0, len(words))
	for _, w := range slices.Sorted(slices.Values(words)) {
		quoted = append(quoted, "`"+w+"`")
	}
	return strings.Join(quoted, ", ")
}
