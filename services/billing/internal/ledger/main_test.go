package ledger_test

import (
	"context"
	"os"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if os.Getenv(childPoint) == syncsFail {
		os.Exit(childWithoutSyncs(context.Background(), os.Stdout))
	}
	if os.Getenv(childURL) != "" {
		os.Exit(child(context.Background(), os.Stdout))
	}
	goleak.VerifyTestMain(m)
}
