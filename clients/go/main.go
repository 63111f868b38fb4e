// Command go does with Trivet's generated Go client what the examples of the TypeScript client do: call a model and know
// what it cost, stream an answer and stop it, read the usage and handle an error by its reason.
//
//	TRIVET_GRPC=127.0.0.1:9090 TRIVET_TOKEN=… go run ./clients/go
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"

	"github.com/trivet-dev/trivet/gen/go/apierror"
	aiv1 "github.com/trivet-dev/trivet/gen/go/trivet/ai/v1"
	billingv1 "github.com/trivet-dev/trivet/gen/go/trivet/billing/v1"
	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
)

func main() {
	if err := run(context.Background(), os.Getenv("TRIVET_GRPC"), os.Getenv("TRIVET_TOKEN"), os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context, address, token string, out io.Writer) error {
	// The gRPC port belongs into a private network, so it has no TLS of its own here.
	conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	ctx, cancel := context.WithTimeout(metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+token), time.Minute)
	defer cancel()
	ai, billing := aiv1.NewAIServiceClient(conn), billingv1.NewBillingServiceClient(conn)
	return errors.Join(chat(ctx, ai, out), stream(ctx, ai, out), stop(ctx, ai, out), usage(ctx, billing, out), refused(ctx, ai, out))
}

func hello() []*aiv1.Message { return []*aiv1.Message{{Role: "user", Content: "Say hello."}} }

// chat calls a model, and knows what it cost.
func chat(ctx context.Context, ai aiv1.AIServiceClient, out io.Writer) error {
	answer, err := ai.Chat(ctx, &aiv1.ChatRequest{Model: "gpt-4o-mini", Messages: hello()})
	if err != nil {
		return err
	}
	fmt.Fprintln(out, answer.GetMessage().GetContent())
	fmt.Fprintln(out, answer.GetUsage().GetOutputTokens(), "tokens,", dollars(answer.GetCostNanoUsd()))
	return nil
}

// stream prints an answer as it comes.
func stream(ctx context.Context, ai aiv1.AIServiceClient, out io.Writer) error {
	pieces, err := ai.ChatStream(ctx, &aiv1.ChatStreamRequest{Model: "gpt-4o-mini", Messages: hello()})
	if err != nil {
		return err
	}
	for {
		piece, err := pieces.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		fmt.Fprint(out, piece.GetDelta())
		if reason := piece.GetFinishReason(); reason != "" {
			fmt.Fprintln(out, "\nfinished:", reason)
		}
	}
}

// stop leaves a stream after its first piece. What the model produced until then is billed.
func stop(ctx context.Context, ai aiv1.AIServiceClient, out io.Writer) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	pieces, err := ai.ChatStream(ctx, &aiv1.ChatStreamRequest{Model: "gpt-4o-mini", Messages: hello()})
	if err != nil {
		return err
	}
	if _, err := pieces.Recv(); err != nil {
		return err
	}
	cancel()
	for err == nil {
		_, err = pieces.Recv()
	}
	fmt.Fprintln(out, "stopped:", ctx.Err())
	return nil
}

// usage prints what each model was used for.
func usage(ctx context.Context, billing billingv1.BillingServiceClient, out io.Writer) error {
	report, err := billing.GetUsage(ctx, &billingv1.GetUsageRequest{PageSize: 10})
	if err != nil {
		return err
	}
	for _, row := range report.GetRows() {
		fmt.Fprintln(out, row.GetModel(), row.GetUsage().GetOutputTokens(), dollars(row.GetCostNanoUsd()))
	}
	return nil
}

// refused handles an error by its reason.
func refused(ctx context.Context, ai aiv1.AIServiceClient, out io.Writer) error {
	_, err := ai.Chat(ctx, &aiv1.ChatRequest{Model: "gpt-99", Messages: hello()})
	switch apierror.Reason(err) {
	case errorsv1.ErrorReason_ERROR_REASON_MODEL_NOT_FOUND:
		fmt.Fprintln(out, "not found:", err)
	case errorsv1.ErrorReason_ERROR_REASON_RATE_LIMIT_EXCEEDED:
		fmt.Fprintln(out, "wait", apierror.RetryAfter(err))
	default:
		return err
	}
	return nil
}

// dollars writes an amount exactly. An amount is an integer: a float would lose digits.
func dollars(nano int64) string {
	const unit = 1_000_000_000
	if nano < 0 {
		return "-" + dollars(-nano)
	}
	return fmt.Sprintf("$%d.%09d", nano/unit, nano%unit)
}
