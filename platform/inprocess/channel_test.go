package inprocess_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	aiv1 "github.com/trivet-dev/trivet/gen/go/trivet/ai/v1"
	"github.com/trivet-dev/trivet/platform/inprocess"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// service is ai with one RPC of each kind.
type service struct {
	aiv1.UnimplementedAIServiceServer
	chat  func(context.Context, *aiv1.ChatRequest) (*aiv1.ChatResponse, error)
	relay func(*aiv1.RelayRequest, grpc.ServerStreamingServer[aiv1.RelayResponse]) error
}

func (s *service) Chat(ctx context.Context, in *aiv1.ChatRequest) (*aiv1.ChatResponse, error) {
	return s.chat(ctx, in)
}

func (s *service) Relay(in *aiv1.RelayRequest, stream grpc.ServerStreamingServer[aiv1.RelayResponse]) error {
	return s.relay(in, stream)
}

func connect(s *service) (*inprocess.Channel, aiv1.AIServiceClient) {
	c := inprocess.New(
		func(ctx context.Context, req any, _ *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
			return handler(ctx, req)
		},
		func(srv any, stream grpc.ServerStream, _ *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
			return handler(srv, stream)
		})
	aiv1.RegisterAIServiceServer(c, s)
	return c, aiv1.NewAIServiceClient(c)
}

type key struct{}

func TestOnlyMetadataCrossOver(t *testing.T) {
	s := &service{}
	c, client := connect(s)
	check := func(ctx context.Context) {
		require.Nil(t, ctx.Value(key{}))
		md, _ := metadata.FromIncomingContext(ctx)
		require.Equal(t, metadata.Pairs("a", "b"), md)
		_, sends := metadata.FromOutgoingContext(ctx)
		require.False(t, sends)
		deadline, ok := ctx.Deadline()
		require.True(t, ok)
		require.WithinDuration(t, time.Now().Add(time.Minute), deadline, 10*time.Second)
	}
	s.chat = func(ctx context.Context, _ *aiv1.ChatRequest) (*aiv1.ChatResponse, error) {
		check(ctx)
		return &aiv1.ChatResponse{}, nil
	}
	s.relay = func(_ *aiv1.RelayRequest, stream grpc.ServerStreamingServer[aiv1.RelayResponse]) error {
		check(stream.Context())
		return nil
	}
	ctx, cancel := context.WithTimeout(metadata.AppendToOutgoingContext(context.WithValue(t.Context(), key{}, 1), "a", "b"), time.Minute)
	defer cancel()
	_, err := client.Chat(ctx, &aiv1.ChatRequest{})
	require.NoError(t, err)
	stream, err := client.Relay(ctx, &aiv1.RelayRequest{})
	require.NoError(t, err)
	_, err = stream.Recv()
	require.ErrorIs(t, err, io.EOF)
	c.Wait()
}

func TestMessagesAreCopied(t *testing.T) {
	s := &service{}
	_, client := connect(s)
	var kept *aiv1.ChatRequest
	own := &aiv1.ChatResponse{Id: "1"}
	s.chat = func(_ context.Context, in *aiv1.ChatRequest) (*aiv1.ChatResponse, error) { kept = in; return own, nil }
	in := &aiv1.ChatRequest{Model: "m", Messages: []*aiv1.Message{{Content: "x"}}}
	out, err := client.Chat(t.Context(), in)
	require.NoError(t, err)
	in.Messages[0].Content, own.Id = "changed", "changed"
	require.Equal(t, "x", kept.GetMessages()[0].GetContent())
	require.Equal(t, "1", out.GetId())

	message := &aiv1.RelayResponse{}
	s.relay = func(_ *aiv1.RelayRequest, stream grpc.ServerStreamingServer[aiv1.RelayResponse]) error {
		for _, part := range []string{"a", "b"} {
			message.Body = append(message.GetBody()[:0], part...)
			if err := stream.Send(message); err != nil {
				return err
			}
		}
		return errors.New("broken")
	}
	stream, err := client.Relay(t.Context(), &aiv1.RelayRequest{})
	require.NoError(t, err)
	for _, part := range []string{"a", "b"} {
		got, err := stream.Recv()
		require.NoError(t, err)
		require.Equal(t, part, string(got.GetBody()))
	}
	_, err = stream.Recv()
	require.Equal(t, codes.Unknown, status.Code(err), "an error that is not a status")
}

// A caller is answered when its context ends, also while the handler does not notice.
func TestCallersWhoLeave(t *testing.T) {
	for name, tc := range map[string]struct {
		leave func(context.Context) (context.Context, context.CancelFunc)
		want  codes.Code
	}{
		"cancelled": {func(ctx context.Context) (context.Context, context.CancelFunc) {
			ctx, cancel := context.WithCancel(ctx)
			time.AfterFunc(time.Second, cancel)
			return ctx, cancel
		}, codes.Canceled},
		"too late": {func(ctx context.Context) (context.Context, context.CancelFunc) {
			return context.WithTimeout(ctx, time.Second)
		}, codes.DeadlineExceeded},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, stuck := &service{}, make(chan struct{})
				c, client := connect(s)
				s.chat = func(ctx context.Context, _ *aiv1.ChatRequest) (*aiv1.ChatResponse, error) {
					<-ctx.Done()
					<-stuck
					return nil, ctx.Err()
				}
				s.relay = func(_ *aiv1.RelayRequest, stream grpc.ServerStreamingServer[aiv1.RelayResponse]) error {
					<-stream.Context().Done()
					require.Error(t, stream.Send(&aiv1.RelayResponse{}), "nobody reads it")
					<-stuck
					return nil
				}
				ctx, cancel := tc.leave(t.Context())
				defer cancel()
				stream, err := client.Relay(ctx, &aiv1.RelayRequest{})
				require.NoError(t, err)
				_, err = client.Chat(ctx, &aiv1.ChatRequest{})
				require.Equal(t, tc.want, status.Code(err))
				_, err = stream.Recv()
				require.Equal(t, tc.want, status.Code(err))
				_, err = client.Chat(ctx, &aiv1.ChatRequest{})
				require.Equal(t, tc.want, status.Code(err), "a call that begins too late")
				waited := make(chan struct{})
				go func() { c.Wait(); close(waited) }()
				synctest.Wait()
				select {
				case <-waited:
					t.Fatal("Wait returned while handlers run")
				default:
				}
				close(stuck)
				<-waited
			})
		})
	}
}

// A handler is held back by a slow reader, and ends when the reader leaves.
func TestStreamsHoldTheirSenderBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &service{}
		c, client := connect(s)
		sent := 0
		s.relay = func(_ *aiv1.RelayRequest, stream grpc.ServerStreamingServer[aiv1.RelayResponse]) error {
			for {
				if err := stream.Send(&aiv1.RelayResponse{Body: []byte(fmt.Sprint(sent))}); err != nil {
					return err
				}
				sent++
			}
		}
		ctx, leave := context.WithCancel(t.Context())
		stream, err := client.Relay(ctx, &aiv1.RelayRequest{})
		require.NoError(t, err)
		synctest.Wait()
		require.Less(t, sent, 100)
		for i := range 100 {
			got, err := stream.Recv()
			require.NoError(t, err)
			require.Equal(t, fmt.Sprint(i), string(got.GetBody()))
		}
		leave()
		c.Wait()
	})
}

func TestWhatAChannelDoesNotDo(t *testing.T) {
	c, client := connect(&service{})
	require.Equal(t, codes.Unimplemented, status.Code(c.Invoke(t.Context(), "/x/y", nil, nil)))
	_, err := c.NewStream(t.Context(), nil, "/x/y")
	require.Equal(t, codes.Unimplemented, status.Code(err))
	require.Equal(t, codes.Internal, status.Code(c.Invoke(t.Context(), aiv1.AIService_Chat_FullMethodName, 1, 2)))
	require.Equal(t, codes.Internal, status.Code(c.Invoke(t.Context(), aiv1.AIService_Chat_FullMethodName, &aiv1.RelayRequest{}, &aiv1.ChatResponse{})))
	_, err = client.Embed(t.Context(), &aiv1.EmbedRequest{})
	require.Equal(t, codes.Unimplemented, status.Code(err))
	stream, err := c.NewStream(t.Context(), nil, aiv1.AIService_Relay_FullMethodName)
	require.NoError(t, err)
	require.Equal(t, codes.Internal, status.Code(stream.RecvMsg(&aiv1.RelayResponse{})), "before the request")
	require.NoError(t, stream.SendMsg(&aiv1.RelayRequest{}))
	require.Equal(t, codes.Internal, status.Code(stream.SendMsg(&aiv1.RelayRequest{})), "a second request")
}
