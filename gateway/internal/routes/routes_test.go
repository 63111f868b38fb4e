package routes_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/genproto/googleapis/api/annotations"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"

	"github.com/trivet-dev/trivet/gateway/internal/routes"
	accessv1 "github.com/trivet-dev/trivet/gen/go/trivet/access/v1"
	aiv1 "github.com/trivet-dev/trivet/gen/go/trivet/ai/v1"
	authv1 "github.com/trivet-dev/trivet/gen/go/trivet/auth/v1"
	billingv1 "github.com/trivet-dev/trivet/gen/go/trivet/billing/v1"
	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
	"github.com/trivet-dev/trivet/platform/errs"
)

// everything handles all RPCs of the contract.
func everything() routes.Handlers {
	return routes.Handlers{Unary: http.NotFoundHandler(), Streams: map[protoreflect.FullName]http.Handler{
		"trivet.ai.v1.AIService.ChatStream": http.NotFoundHandler(), "trivet.billing.v1.BillingService.ExportUsage": http.NotFoundHandler(),
		"trivet.auth.v1.AuthService.Reconcile": http.NotFoundHandler(), "trivet.billing.v1.BillingService.Reconcile": http.NotFoundHandler(),
	}}
}

// newTable builds a table that must be valid.
func newTable(t *testing.T, all []routes.Route) *routes.Table {
	t.Helper()
	table, err := routes.New(all)
	require.NoError(t, err)
	return table
}

func contract(t *testing.T) []routes.Route {
	t.Helper()
	all, err := routes.FromProto(everything(), authv1.File_trivet_auth_v1_auth_proto,
		aiv1.File_trivet_ai_v1_ai_proto, billingv1.File_trivet_billing_v1_billing_proto)
	require.NoError(t, err)
	return all
}

func TestEveryRouteOfTheContractIsFound(t *testing.T) {
	all := contract(t)
	require.Greater(t, len(all), 25)
	table := newTable(t, all)
	for _, want := range all {
		path := want.Pattern
		for strings.Contains(path, "{") {
			start, end := strings.Index(path, "{"), strings.Index(path, "}")
			path = path[:start] + "id_1" + path[end+1:]
		}
		found, _ := table.Find(want.Method, path)
		require.NotNil(t, found, "%s %s", want.Method, path)
		require.Equal(t, want.Pattern, found.Pattern)
		require.Equal(t, want.Method, found.Method)
	}
}

func TestOnlyPlansArePublic(t *testing.T) {
	var public []string
	for _, r := range contract(t) {
		if r.Public {
			public = append(public, r.Method+" "+r.Pattern)
		}
	}
	require.Equal(t, []string{"GET /api/v1/billing/plans"}, public)
}

func TestFind(t *testing.T) {
	table := newTable(t, []routes.Route{
		{Method: "GET", Pattern: "/a"},
		{Method: "POST", Pattern: "/a"},
		{Method: "POST", Pattern: "/a:go"},
		{Method: "GET", Pattern: "/u/{id}"},
		{Method: "DELETE", Pattern: "/u/{id}"},
		{Method: "POST", Pattern: "/u/{id}:erase"},
		{Method: "GET", Pattern: "/u/{id}/x"},
		{Method: "GET", Pattern: "/files/{path...}"},
	})
	cases := map[string]struct{ pattern, allowed string }{
		"GET /a":          {"/a", ""},
		"HEAD /a":         {"/a", ""},
		"POST /a:go":      {"/a:go", ""},
		"PUT /a":          {"", "GET, POST, HEAD"},
		"GET /a:go":       {"", "POST"},
		"GET /u/1":        {"/u/{id}", ""},
		"DELETE /u/1":     {"/u/{id}", ""},
		"POST /u/1":       {"", "GET, DELETE, HEAD"},
		"POST /u/1:erase": {"/u/{id}:erase", ""},
		"GET /u/1:erase":  {"", "POST"},
		"GET /u/1:other":  {"/u/{id}", ""},
		"GET /u/a%2Fb":    {"/u/{id}", ""},
		"GET /u/1/x":      {"/u/{id}/x", ""},
		"GET /u/1/y":      {"", ""},
		"GET /u/":         {"", ""},
		"GET /u":          {"", ""},
		"GET /u//x":       {"", ""},
		"GET /a/":         {"", ""},
		"GET //a":         {"", ""},
		"GET /u/1/x/z":    {"", ""},
		"GET ":            {"", ""},
		"GET *":           {"", ""},
		"GET /u/:erase":   {"/u/{id}", ""},
		"GET /files/":     {"/files/{path...}", ""},
		"GET /files/a/b":  {"/files/{path...}", ""},
		"GET /files/a:b":  {"/files/{path...}", ""},
		"POST /files/a":   {"", "GET, HEAD"},
		"GET /files":      {"", ""},
		"GET /filesa/b":   {"", ""},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			method, path, _ := strings.Cut(name, " ")
			route, allowed := table.Find(method, path)
			if tc.pattern == "" {
				require.Nil(t, route)
			} else {
				require.NotNil(t, route)
				require.Equal(t, tc.pattern, route.Pattern)
			}
			require.Equal(t, tc.allowed, strings.Join(allowed, ", "))
		})
	}
}

func TestDuplicateRoutesAreRefused(t *testing.T) {
	for _, pattern := range []string{"/a", "/u/{id}", "/u/{id}:erase"} {
		_, err := routes.New([]routes.Route{{Method: "GET", Pattern: pattern, Public: true}, {Method: "GET", Pattern: pattern}})
		require.EqualError(t, err, "two routes serve GET "+pattern)
	}
}

// fileOf describes a service with one RPC, x.S.Do.
func fileOf(t *testing.T, rule *accessv1.Rule, binding *annotations.HttpRule, streams bool) protoreflect.FileDescriptor {
	t.Helper()
	o := &descriptorpb.MethodOptions{}
	proto.SetExtension(o, annotations.E_Http, binding)
	if rule != nil {
		proto.SetExtension(o, accessv1.E_Rule, rule)
	}
	file, err := protodesc.NewFile(&descriptorpb.FileDescriptorProto{
		Name: proto.String("x.proto"), Package: proto.String("x"), Syntax: proto.String("proto3"),
		MessageType: []*descriptorpb.DescriptorProto{{Name: proto.String("M")}},
		Service: []*descriptorpb.ServiceDescriptorProto{{
			Name: proto.String("S"),
			Method: []*descriptorpb.MethodDescriptorProto{{
				Name: proto.String("Do"), InputType: proto.String(".x.M"), OutputType: proto.String(".x.M"),
				ServerStreaming: proto.Bool(streams), Options: o,
			}},
		}},
	}, protoregistry.GlobalFiles)
	require.NoError(t, err)
	return file
}

func TestUnsafeRulesAreRefused(t *testing.T) {
	for name, tc := range map[string]struct {
		rule    *accessv1.Rule
		http    *annotations.HttpRule
		streams bool
		says    string
	}{
		"no rule":       {nil, &annotations.HttpRule{Pattern: &annotations.HttpRule_Get{Get: "/x"}}, false, "CALLER_UNSPECIFIED"},
		"internal only": {&accessv1.Rule{Caller: accessv1.Caller_CALLER_INTERNAL}, &annotations.HttpRule{Pattern: &annotations.HttpRule_Get{Get: "/x"}}, false, "CALLER_INTERNAL"},
		"no method":     {&accessv1.Rule{Caller: accessv1.Caller_CALLER_USER}, &annotations.HttpRule{}, false, "does not know its HTTP method"},
		"stream":        {&accessv1.Rule{Caller: accessv1.Caller_CALLER_USER}, &annotations.HttpRule{Pattern: &annotations.HttpRule_Get{Get: "/x"}}, true, "no handler"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := routes.FromProto(everything(), fileOf(t, tc.rule, tc.http, tc.streams))
			require.ErrorContains(t, err, "x.S.Do")
			require.ErrorContains(t, err, tc.says)
		})
	}
}

// An RPC may have several paths; each is a route, as public as the RPC's rule is.
func TestAdditionalBindings(t *testing.T) {
	for caller, public := range map[accessv1.Caller]bool{
		accessv1.Caller_CALLER_PUBLIC: true, accessv1.Caller_CALLER_USER: false, accessv1.Caller_CALLER_ADMIN: false, accessv1.Caller_CALLER_OPERATOR: false,
	} {
		all, err := routes.FromProto(everything(), fileOf(t, &accessv1.Rule{Caller: caller}, &annotations.HttpRule{
			Pattern: &annotations.HttpRule_Get{Get: "/x"}, AdditionalBindings: []*annotations.HttpRule{
				{Pattern: &annotations.HttpRule_Put{Put: "/y"}}, {Pattern: &annotations.HttpRule_Patch{Patch: "/z"}},
			},
		}, false))
		require.NoError(t, err)
		found := map[string]bool{}
		for _, route := range all {
			found[route.Method+" "+route.Pattern] = route.Public
		}
		require.Equal(t, map[string]bool{"GET /x": public, "PUT /y": public, "PATCH /z": public}, found)
	}
}

func TestParameters(t *testing.T) {
	table := newTable(t, contract(t))
	cases := map[string]string{ // request -> field refused; "" for none
		"GET /api/v1/users":                              "",
		"GET /api/v1/users?page_size=1&pageToken=x":      "",
		"GET /api/v1/users?pagesize=1":                   "pagesize",
		"GET /api/v1/auth/events?since=2026-01-01":       "",
		"GET /api/v1/me?x=1":                             "x",
		"POST /api/v1/chat?model=x":                      "model",
		"POST /api/v1/chat:stream?model=x":               "model",
		"GET /api/v1/users?email=%ff":                    "email",
		"GET /api/v1/users?%ff=1":                        "?",
		"GET /api/v1/users?" + strings.Repeat("y", 1000): strings.Repeat("y", 64),
	}
	for address, field := range cases {
		method, rest, _ := strings.Cut(address, " ")
		u, err := url.Parse(rest)
		require.NoError(t, err)
		route, _ := table.Find(method, u.EscapedPath())
		err = route.Query.Check(u)
		if field == "" {
			require.NoError(t, err, address)
			continue
		}
		require.Equal(t, errorsv1.ErrorReason_ERROR_REASON_INVALID_ARGUMENT, errs.ReasonOf(err), address)
		require.Equal(t, field, errs.From(err).Fields[0].Name)
	}
	for _, bad := range []string{"/api/v1/users?%zz=1", "/api/v1/users/%ff"} {
		u := &url.URL{Path: "/api/v1/users"}
		u.Path, u.RawQuery, _ = strings.Cut(bad, "?")
		u.Path, _ = url.PathUnescape(u.Path)
		require.Error(t, routes.Parameters{}.Check(u))
	}
	require.NoError(t, routes.Parameters(nil).Check(&url.URL{Path: "/x", RawQuery: "any=1"}))
}
