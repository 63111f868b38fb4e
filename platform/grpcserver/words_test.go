package grpcserver

import (
	"math"
	"strings"
	"testing"

	"buf.build/gen/go/bufbuild/protovalidate/protocolbuffers/go/buf/validate"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/reflect/protoreflect"

	aiv1 "github.com/trivet-dev/trivet/gen/go/trivet/ai/v1"
	authv1 "github.com/trivet-dev/trivet/gen/go/trivet/auth/v1"
	billingv1 "github.com/trivet-dev/trivet/gen/go/trivet/billing/v1"
	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
	"github.com/trivet-dev/trivet/platform/errs"
)

func TestBoundsInWords(t *testing.T) {
	for want, bounds := range map[string][2]uint64{
		"must not be empty": {1, 0}, "must have 2 items or more": {2, 0}, "must have 9 items or less": {0, 9},
		"must have exactly 1 item": {1, 1}, "must have exactly 2 items": {2, 2}, "must have 1 to 2 items": {1, 2},
	} {
		require.Equal(t, want, within(bounds[0], bounds[1], "items"))
	}
	require.Equal(t, "must not be empty", within(0, 0, "items"))
}

func TestNumbersInWords(t *testing.T) {
	i64 := func(r *validate.Int64Rules) string { return ofNumber(r.ProtoReflect()) }
	require.Equal(t, "must be from 1 to 5", i64(&validate.Int64Rules{GreaterThan: &validate.Int64Rules_Gte{Gte: 1}, LessThan: &validate.Int64Rules_Lte{Lte: 5}}))
	require.Equal(t, "must be above 1 and 5 or less", i64(&validate.Int64Rules{GreaterThan: &validate.Int64Rules_Gt{Gt: 1}, LessThan: &validate.Int64Rules_Lte{Lte: 5}}))
	require.Equal(t, "must be 1 or more and below 5", i64(&validate.Int64Rules{GreaterThan: &validate.Int64Rules_Gte{Gte: 1}, LessThan: &validate.Int64Rules_Lt{Lt: 5}}))
	require.Equal(t, "must be above 0", i64(&validate.Int64Rules{GreaterThan: &validate.Int64Rules_Gt{Gt: 0}}))
	require.Equal(t, "must be 5 or less", i64(&validate.Int64Rules{LessThan: &validate.Int64Rules_Lte{Lte: 5}}))
	require.Empty(t, i64(&validate.Int64Rules{}))
	require.Equal(t, "must be 0.5 or more", ofNumber((&validate.DoubleRules{GreaterThan: &validate.DoubleRules_Gte{Gte: 0.5}}).ProtoReflect()))
}

func TestChoicesInWords(t *testing.T) {
	require.Equal(t, `"a"`, oneOf([]string{"a"}))
	require.Equal(t, `"a" or "b"`, oneOf([]string{"a", "b"}))
	require.Equal(t, `"a", "b" or "c", or empty`, oneOf([]string{"a", "", "b", "c"}))
	field := (&billingv1.SettleRequest{}).ProtoReflect().Descriptor().Fields().ByName("outcome")
	text := ofEnum(field, &validate.EnumRules{NotIn: []int32{0}})
	require.NotContains(t, text, "OUTCOME_UNSPECIFIED", "what is refused is not offered")
	require.Contains(t, text, `"OUTCOME_COMPLETED"`)
}

func TestWhatIsWrongWithAValue(t *testing.T) {
	fields := (&authv1.CreateApiKeyRequest{}).ProtoReflect().Descriptor().Fields()
	name := fields.ByName("name")
	text := func(s string) string { return got(name, protoreflect.ValueOfString(s)) }
	require.Equal(t, "is missing", text(""))
	require.Equal(t, `is "`+strings.Repeat("é", 40)+`"`, text(strings.Repeat("é", 40)))
	require.Equal(t, "has 41 characters", text(strings.Repeat("é", 41)))
	credential := (&authv1.AuthenticateRequest{}).ProtoReflect().Descriptor().Fields().ByName("credential")
	require.Empty(t, got(credential, protoreflect.ValueOfString("short secret")), "a secret is not repeated, however short")
	require.Equal(t, "is missing", got(credential, protoreflect.ValueOfString("")))
	require.Equal(t, "is not a number", got(name, protoreflect.ValueOfFloat64(math.NaN())))
	require.Equal(t, "is not a number", got(name, protoreflect.ValueOfFloat64(math.Inf(-1))))
	require.Equal(t, "is 0.25", got(name, protoreflect.ValueOfFloat64(0.25)))
	require.Equal(t, "is -7", got(name, protoreflect.ValueOfInt64(-7)))
	require.Equal(t, "has 2 bytes", got(name, protoreflect.ValueOfBytes([]byte("ab"))))
	require.Equal(t, "is missing", got(name, protoreflect.ValueOfEnum(0)))
	require.Equal(t, "is 9", got(name, protoreflect.ValueOfEnum(9)))
	require.Empty(t, got(nil, protoreflect.ValueOfString("x")))
	list := (&authv1.CreateApiKeyRequest{Scopes: []string{"a", "b"}}).ProtoReflect()
	require.Equal(t, "has 2 items", got(fields.ByName("scopes"), list.Get(fields.ByName("scopes"))))
	require.Equal(t, "is missing", got(fields.ByName("scopes"), (&authv1.CreateApiKeyRequest{}).ProtoReflect().Get(fields.ByName("scopes"))))
}

// PostgreSQL refuses the character NUL in a text, SQLite does not: requests are the same on both.
func TestNULInARequest(t *testing.T) {
	for field, m := range map[string]protoreflect.ProtoMessage{
		"userId":    &authv1.GetUserRequest{UserId: "user_1\x00"},
		"pageToken": &authv1.ListUsersRequest{PageToken: "\x00"},
		"name":      &authv1.CreateApiKeyRequest{Name: "a\x00b"},

		"eventIds[0]": &authv1.RedriveEventsRequest{EventIds: []string{"a\x00"}},
		"eventIds[1]": &billingv1.RedriveEventsRequest{EventIds: []string{"evt_1", "\x00", "evt_2"}},
	} {
		err := withoutNUL(m.ProtoReflect())
		require.Equal(t, errorsv1.ErrorReason_ERROR_REASON_INVALID_ARGUMENT, errs.ReasonOf(err))
		require.ErrorContains(t, err, field+" must not contain the character NUL.")
		require.Equal(t, []errs.Field{{Name: field, Problem: "must not contain the character NUL"}}, errs.From(err).Fields)
	}
	require.NoError(t, withoutNUL((&authv1.GetUserRequest{UserId: "user_1"}).ProtoReflect()))
	require.NoError(t, withoutNUL((&authv1.RedriveEventsRequest{EventIds: []string{"evt_1", "evt_2"}}).ProtoReflect()))
	for _, m := range []protoreflect.ProtoMessage{
		&aiv1.ChatRequest{Model: "m", Messages: []*aiv1.Message{{Content: "a\x00b"}}},
		&aiv1.ChatRequest{Model: "m", Stop: []string{"\x00"}},
		&aiv1.EmbedRequest{Model: "m", Input: []string{"\x00"}},
	} {
		require.NoError(t, withoutNUL(m.ProtoReflect()), "nothing stores it")
	}
}

// A method that the server does not know is refused, except those of gRPC's own services.
func TestMethodsWithoutARule(t *testing.T) {
	for method, open := range map[string]bool{
		"/grpc.health.v1.Health/Check": true, "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo": true,
		"/grpc.health.v1.HealthX/Check": false, "/trivet.auth.v1.AuthService/GetMe": false, "/": false, "": false,
	} {
		called := false
		_, err := (&chain{}).unknown(method, func() (any, error) { called = true; return nil, nil })
		require.Equal(t, open, called, method)
		if !open {
			require.Equal(t, errorsv1.ErrorReason_ERROR_REASON_PERMISSION_DENIED, errs.ReasonOf(err), method)
		}
	}
}
