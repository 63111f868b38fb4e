package apierror_test

import (
	"context"
	"fmt"
	"net"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"

	"github.com/trivet-dev/trivet/gen/go/apierror"
	aiv1 "github.com/trivet-dev/trivet/gen/go/trivet/ai/v1"
	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
	usagev1 "github.com/trivet-dev/trivet/gen/go/trivet/usage/v1"
	"github.com/trivet-dev/trivet/platform/errs"
)

// A client of the typed API: one call that is answered, and one for which the account has no credit.
func Example() {
	address, stop := serveExample() // in real life: "127.0.0.1:9090"
	defer stop()

	conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = conn.Close() }()
	client := aiv1.NewAIServiceClient(conn)

	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	ctx = metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer tvt_test_example")
	for _, question := range []string{"Hello", "Write a novel"} {
		answer, err := client.Chat(ctx, &aiv1.ChatRequest{
			Model:    "gpt-5-mini",
			Messages: []*aiv1.Message{{Role: "user", Content: question}},
		})
		switch apierror.Reason(err) {
		case errorsv1.ErrorReason_ERROR_REASON_INSUFFICIENT_BALANCE:
			fmt.Println("please buy credit")
		case errorsv1.ErrorReason_ERROR_REASON_RATE_LIMIT_EXCEEDED:
			fmt.Println("wait for", apierror.RetryAfter(err))
		default:
			if err != nil {
				fmt.Println(err)
				return
			}
			fmt.Println(answer.GetMessage().GetContent(), answer.GetUsage().GetOutputTokens())
		}
	}
	// Output:
	// You said Hello 3
	// please buy credit
}

type exampleServer struct {
	aiv1.UnimplementedAIServiceServer
}

func (exampleServer) Chat(_ context.Context, r *aiv1.ChatRequest) (*aiv1.ChatResponse, error) {
	question := r.GetMessages()[0].GetContent()
	if question != "Hello" {
		return nil, errs.New(errorsv1.ErrorReason_ERROR_REASON_INSUFFICIENT_BALANCE, "Insufficient balance for this call.")
	}
	return &aiv1.ChatResponse{
		Message: &aiv1.Message{Role: "assistant", Content: "You said " + question},
		Usage:   &usagev1.CallUsage{InputTokens: 8, OutputTokens: 3},
	}, nil
}

func serveExample() (address string, stop func()) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	server := grpc.NewServer()
	aiv1.RegisterAIServiceServer(server, exampleServer{})
	go func() { _ = server.Serve(listener) }()
	return listener.Addr().String(), server.Stop
}
