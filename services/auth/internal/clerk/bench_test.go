package clerk_test

import (
	"testing"

	"github.com/trivet-dev/trivet/services/auth/internal/clerk"
)

// BenchmarkParseEvent reduces a user's event to what is stored of it; of what Trivet itself does to acknowledge an event,
// it is the most.
func BenchmarkParseEvent(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, err := clerk.ParseEvent([]byte(full)); err != nil {
			b.Fatal(err)
		}
	}
}
