package grpcserver_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"errors"
	"io"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"

	aiv1 "github.com/trivet-dev/trivet/gen/go/trivet/ai/v1"
	"github.com/trivet-dev/trivet/platform/grpcserver"
	"github.com/trivet-dev/trivet/platform/passport"
	"github.com/trivet-dev/trivet/platform/requestid"
)

// answers is an ai service that relays an answer of some parts.
type answers struct {
	aiv1.UnimplementedAIServiceServer
}

// Relay answers with a head and as many parts as the query says.
func (answers) Relay(req *aiv1.RelayRequest, stream grpc.ServerStreamingServer[aiv1.RelayResponse]) error {
	time.Sleep(time.Millisecond) // as the hold and the provider
	parts, err := strconv.Atoi(req.GetQuery())
	if err != nil {
		return err
	}
	message := &aiv1.RelayResponse{
		Head: &aiv1.RelayHead{Status: 200, Streamed: parts > 1, Headers: map[string]string{
			"content-type": "application/json", "x-ratelimit-limit-requests": "1000", "x-ratelimit-remaining-requests": "999", "x-trivet-target": "openai",
		}},
		Body: bytes.Repeat([]byte("x"), 1400),
	}
	for range parts {
		if err := stream.Send(message); err != nil {
			return err
		}
		message.Head = nil
	}
	return nil
}

// BenchmarkRelayOverTCP relays answers to 64 callers, each a stream of its own. The CPU is that of both ends.
func BenchmarkRelayOverTCP(b *testing.B) {
	client := aiv1.NewAIServiceClient(benchConn(b, func(s *grpcserver.Server) { aiv1.RegisterAIServiceServer(s, answers{}) }))
	issuer, err := passport.NewIssuer(ed25519.NewKeyFromSeed(secret), time.Now)
	require.NoError(b, err)
	request := &aiv1.RelayRequest{
		Endpoint: aiv1.Endpoint_ENDPOINT_CHAT_COMPLETIONS, Body: bytes.Repeat([]byte("x"), 1000),
		Headers: map[string]string{"content-type": "application/json"},
	}
	for _, accounts := range []int{1, 64} {
		var callers []context.Context
		for i := range 64 {
			user := "user_" + strconv.Itoa(i%accounts)
			token, err := issuer.Issue(passport.Claims{UserID: user, AccountID: user, SessionID: "sess_2abcdefghijklmnopqrstuvwxyz", Role: "owner"}, "ai", time.Now().Add(time.Minute))
			require.NoError(b, err)
			callers = append(callers, passport.Outgoing(context.Background(), token))
		}
		for _, parts := range []int{1, 30} {
			b.Run(strconv.Itoa(parts)+" parts, "+strconv.Itoa(accounts)+" accounts", func(b *testing.B) {
				in := &aiv1.RelayRequest{Endpoint: request.GetEndpoint(), Body: request.GetBody(), Headers: request.GetHeaders(), Query: strconv.Itoa(parts)}
				relayFrom(b, client, callers, in)
			})
		}
	}
}

func relayFrom(b *testing.B, client aiv1.AIServiceClient, callers []context.Context, in *aiv1.RelayRequest) {
	b.Helper()
	b.ReportAllocs()
	before := cpu(b)
	var all sync.WaitGroup
	for i, ctx := range callers {
		all.Go(func() {
			for range b.N/len(callers) + min(1, max(0, b.N%len(callers)-i)) {
				if err := relayOne(requestid.With(ctx, requestid.New()), client, in); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
	b.ReportMetric(float64((cpu(b)-before).Nanoseconds())/1000/float64(b.N), "cpu-µs/op")
}

func relayOne(ctx context.Context, client aiv1.AIServiceClient, in *aiv1.RelayRequest) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := client.Relay(ctx, in)
	for err == nil {
		_, err = stream.Recv()
	}
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}
