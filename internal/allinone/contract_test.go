package allinone_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
	"github.com/trivet-dev/trivet/internal/allinone"
	"github.com/trivet-dev/trivet/internal/docgen"
	"github.com/trivet-dev/trivet/platform/errs"
	"github.com/trivet-dev/trivet/platform/grpcserver"
	"github.com/trivet-dev/trivet/platform/passport"
)

// The architecture page lists what is not built yet; every RPC is called, and the page must say what they answer.
func TestUnimplementedRPCsAreListed(t *testing.T) {
	conns, issuer := allinone.StartForTest(t)
	var missing []string
	for _, name := range docgen.Services() {
		found, err := protoregistry.GlobalFiles.FindDescriptorByName(protoreflect.FullName(name))
		require.NoError(t, err)
		service, ok := found.(protoreflect.ServiceDescriptor)
		require.True(t, ok)
		for i := range service.Methods().Len() {
			method := service.Methods().Get(i)
			if method.IsStreamingClient() {
				continue // it exists over the network only, and the tests of platform/grpcserver call it
			}
			full := "/" + name + "/" + string(method.Name())
			err := try(t, conns, issuer, method, full)
			reason := errs.ReasonOf(err)
			require.NotEqual(t, errorsv1.ErrorReason_ERROR_REASON_PERMISSION_DENIED, reason, "%s: %v", full, err)
			if reason == errorsv1.ErrorReason_ERROR_REASON_NOT_IMPLEMENTED {
				missing = append(missing, full)
				continue
			}
			require.NotEqual(t, errorsv1.ErrorReason_ERROR_REASON_INTERNAL, reason, "%s: %v", full, err)
		}
	}
	page := filepath.Join("..", "..", "docs", "architecture.md")
	committed, err := os.ReadFile(page)
	require.NoError(t, err)
	want, err := docgen.Replace(string(committed), "unimplemented", docgen.Unimplemented(missing))
	require.NoError(t, err)
	if os.Getenv("TRIVET_WRITE_DOCS") != "" {
		require.NoError(t, os.WriteFile(page, []byte(want), 0o600))
		return
	}
	require.Equal(t, want, string(committed), "run `make docs` and commit")
}

// try calls an RPC as somebody who may, with a request that is as valid as can be made without knowing it.
func try(t *testing.T, conns map[string]grpc.ClientConnInterface, issuer *passport.Issuer, method protoreflect.MethodDescriptor, full string) error {
	t.Helper()
	rule := grpcserver.RuleOf(string(method.Parent().FullName()), string(method.Name()))
	caller := "gateway"
	if peers := rule.GetPeers(); len(peers) > 0 {
		caller = peers[0]
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	audience := string(method.ParentFile().Package().Parent().Name())
	token, err := issuer.Issue(passport.Claims{UserID: "user_1", AccountID: "user_1", Role: "owner", Operator: true}, audience, time.Now().Add(time.Minute))
	require.NoError(t, err)
	ctx = passport.Outgoing(ctx, token)
	request, answer := message(t, method.Input()), message(t, method.Output())
	fill(request.ProtoReflect())
	conn := conns[caller]
	if !method.IsStreamingServer() {
		return conn.Invoke(ctx, full, request, answer)
	}
	stream, err := conn.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true}, full)
	require.NoError(t, err)
	require.NoError(t, stream.SendMsg(request))
	require.NoError(t, stream.CloseSend())
	return stream.RecvMsg(answer)
}

func message(t *testing.T, d protoreflect.MessageDescriptor) proto.Message {
	t.Helper()
	kind, err := protoregistry.GlobalTypes.FindMessageByName(d.FullName())
	require.NoError(t, err)
	return kind.New().Interface()
}

// fill gives text to text fields and the first value to enums; what is still invalid is refused before the handler, so only
// RPCs that validate without text could hide, and those are built.
func fill(m protoreflect.Message) {
	fields := m.Descriptor().Fields()
	for i := range fields.Len() {
		f := fields.Get(i)
		switch {
		case f.IsList() || f.IsMap():
		case f.Kind() == protoreflect.StringKind && f.Name() != "page_token" && f.Name() != "start_day" && f.Name() != "end_day":
			m.Set(f, protoreflect.ValueOfString("x"))
		case f.Kind() == protoreflect.Int64Kind && f.Name() == "amount_nano_usd":
			m.Set(f, protoreflect.ValueOfInt64(1))
		}
	}
}
