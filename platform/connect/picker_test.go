package connect

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/balancer"
	"google.golang.org/grpc/balancer/base"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	accessv1 "github.com/trivet-dev/trivet/gen/go/trivet/access/v1"
)

// connection is a balancer's connection to a replica.
type connection struct{ balancer.SubConn }

func ready(connections ...balancer.SubConn) base.PickerBuildInfo {
	info := base.PickerBuildInfo{ReadySCs: map[balancer.SubConn]base.SubConnInfo{}}
	for _, c := range connections {
		info.ReadySCs[c] = base.SubConnInfo{}
	}
	return info
}

// picked makes n calls that can move on.
func picked(t *testing.T, p balancer.Picker, n int) map[balancer.SubConn]int {
	t.Helper()
	return pickedBy(t, p, n, func() *attempt { return &attempt{} })
}

func pickedBy(t *testing.T, p balancer.Picker, n int, by func() *attempt) map[balancer.SubConn]int {
	t.Helper()
	count := map[balancer.SubConn]int{}
	for range n {
		ctx := t.Context()
		if a := by(); a != nil {
			ctx = context.WithValue(ctx, attemptKey{}, a)
		}
		result, err := p.Pick(balancer.PickInfo{Ctx: ctx})
		require.NoError(t, err)
		count[result.SubConn]++
	}
	return count
}

// pickOne makes a call to one of the replicas, and returns how it ends.
func pickOne(t *testing.T, p balancer.Picker, of balancer.SubConn) func(balancer.DoneInfo) {
	t.Helper()
	for range 10 {
		result, err := p.Pick(balancer.PickInfo{Ctx: context.WithValue(context.Background(), attemptKey{}, &attempt{})})
		require.NoError(t, err)
		if result.SubConn == of {
			return result.Done
		}
	}
	t.Fatal("the replica gets no call")
	return nil
}

func TestASuspectReplicaIsTriedByOneCallAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hung, well := &connection{}, &connection{}
		builder := &pickers{}
		p := builder.Build(ready(hung, well))
		require.Equal(t, map[balancer.SubConn]int{hung: 5, well: 5}, picked(t, p, 10))

		silence := balancer.DoneInfo{Err: status.Error(codes.DeadlineExceeded, "late")}
		pickOne(t, p, hung)(silence)
		require.Equal(t, map[balancer.SubConn]int{well: 10}, picked(t, p, 10))
		p = builder.Build(ready(hung, well))
		require.Equal(t, map[balancer.SubConn]int{well: 10}, picked(t, p, 10), "a change of the replicas does not make it trusted")
		time.Sleep(suspicion)
		require.Equal(t, map[balancer.SubConn]int{hung: 1, well: 9}, picked(t, p, 10))
		time.Sleep(suspicion)
		pickOne(t, p, hung)(balancer.DoneInfo{Err: status.Error(codes.NotFound, "no"), BytesReceived: true})
		require.Equal(t, map[balancer.SubConn]int{hung: 5, well: 5}, picked(t, p, 10), "an error is an answer")
	})
}

// A call that cannot move on would wait for a replica that still hangs. It tries one only if no other call has done so for long.
func TestACallThatCannotMoveOnTriesNoSuspectReplica(t *testing.T) {
	for name, by := range map[string]func() *attempt{
		"not repeatable":              func() *attempt { return nil },
		"a stream of unknown version": func() *attempt { return &attempt{stream: true} },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				hung, well := &connection{}, &connection{}
				p := (&pickers{}).Build(ready(hung, well))
				pickOne(t, p, hung)(balancer.DoneInfo{Err: status.Error(codes.DeadlineExceeded, "late")})
				time.Sleep(suspicion)
				require.Equal(t, map[balancer.SubConn]int{well: 10}, pickedBy(t, p, 10, by))
				time.Sleep(untried)
				require.Equal(t, map[balancer.SubConn]int{hung: 1, well: 9}, pickedBy(t, p, 10, by))
			})
		})
	}
}

func TestSuspectReplicasAreBetterThanNone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := &connection{}, &connection{}
		p := (&pickers{}).Build(ready(a, b))
		for _, c := range []balancer.SubConn{a, b} {
			pickOne(t, p, c)(balancer.DoneInfo{Err: status.Error(codes.DeadlineExceeded, "late")})
		}
		require.Equal(t, map[balancer.SubConn]int{a: 5, b: 5}, picked(t, p, 10))
	})
}

// An answer that began and took too long, and a call that its caller left, say nothing about the replica.
func TestWhatDoesNotMakeAReplicaSuspect(t *testing.T) {
	for name, info := range map[string]balancer.DoneInfo{
		"a late answer":     {Err: status.Error(codes.DeadlineExceeded, "late"), BytesReceived: true},
		"a caller who left": {Err: status.Error(codes.Canceled, "gone")},
		"a refusal":         {Err: status.Error(codes.PermissionDenied, "no"), BytesReceived: true},
		"no error":          {BytesReceived: true},
	} {
		t.Run(name, func(t *testing.T) {
			a, b := &connection{}, &connection{}
			p := (&pickers{}).Build(ready(a, b))
			pickOne(t, p, a)(info)
			require.Len(t, picked(t, p, 10), 2)
		})
	}
}

func TestNoReplica(t *testing.T) {
	_, err := (&pickers{}).Build(ready()).Pick(balancer.PickInfo{Ctx: t.Context()})
	require.ErrorIs(t, err, balancer.ErrNoSubConnAvailable, "calls wait while connections are made")
}

func TestAddresses(t *testing.T) {
	for address, ok := range map[string]bool{
		"127.0.0.1:9090": true, "auth:9090": true, "a:1,b:2": true, "a:1, b:2": true, "[::1]:9090": true, "dns:///auth:9090": true,
		"unix:/run/auth": true, "dns://10.0.0.1:53/auth:9090": true,
		"auth": false, "": false, ":9090": false, "a:1,": false, "a:1,b": false, "a:x": false, "a:70000": false,
	} {
		if ok {
			require.NoError(t, CheckAddress(address), address)
		} else {
			require.ErrorContains(t, CheckAddress(address), "is not HOST:PORT", address)
		}
	}
}

// Each call between services is known to be safe to repeat, or known not to be moved to another replica.
func TestEveryInternalCallIsClassified(t *testing.T) {
	stays := map[string]bool{
		"/trivet.auth.v1.AuthService/WatchRevocations": true, // a stream
		"/trivet.ai.v1.AIService/EraseUser":            true, // auth repeats it
		"/trivet.billing.v1.BillingService/EraseUser":  true, // auth repeats it
		"/trivet.billing.v1.BillingService/ExportUser": true, // a person waits
		"/trivet.billing.v1.BillingService/Batch":      true, // a stream of calls, which move on by themselves
	}
	seen := 0
	protoregistry.GlobalFiles.RangeFiles(func(file protoreflect.FileDescriptor) bool {
		for i := range file.Services().Len() {
			service := file.Services().Get(i)
			for j := range service.Methods().Len() {
				m := service.Methods().Get(j)
				rule, _ := proto.GetExtension(m.Options(), accessv1.E_Rule).(*accessv1.Rule)
				name := "/" + string(service.FullName()) + "/" + string(m.Name())
				if rule.GetCaller() != accessv1.Caller_CALLER_INTERNAL {
					require.False(t, repeatable[name], name)
					continue
				}
				seen++
				require.NotEqual(t, stays[name], repeatable[name], "%s: say in repeatable.go or here whether it may be repeated", name)
			}
		}
		return true
	})
	require.Equal(t, len(stays)+len(repeatable), seen)
}

func TestReadsMayBeRepeated(t *testing.T) {
	for method, want := range map[string]time.Duration{
		"/trivet.auth.v1.AuthService/GetMe":                    readTime,
		"/trivet.auth.v1.AuthService/CreateApiKey":             0,
		"/trivet.auth.v1.AuthService/ExportUser":               0,
		"/trivet.billing.v1.BillingService/ListInvoices":       0,
		"/trivet.ai.v1.AIService/Chat":                         0,
		"/trivet.billing.v1.BillingService/Reserve":            attemptTime,
		"/trivet.billing.v1.BillingService/GetUsage":           readTime,
		"/trivet.billing.v1.BillingService/CancelSubscription": 0,
		"/trivet.billing.v1.BillingService/Nothing":            0,
		"/grpc.health.v1.Health/Check":                         0,
	} {
		require.Equal(t, want, patienceOf(method), method)
	}
}
