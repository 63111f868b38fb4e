package ai_test

import (
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"weak"

	"github.com/stretchr/testify/require"

	aiv1 "github.com/trivet-dev/trivet/gen/go/trivet/ai/v1"
	billingv1 "github.com/trivet-dev/trivet/gen/go/trivet/billing/v1"
	"github.com/trivet-dev/trivet/services/ai"
)

// upload makes a call with a form until its caller leaves, and returns a pointer to the form that does not keep it.
func (b *bubble) upload(endpoint aiv1.Endpoint, s posted, stay time.Duration) (weak.Pointer[byte], error) {
	body := []byte(s.body)
	ctx, leave := caller(b.t, "acct_1")
	defer leave()
	defer time.AfterFunc(stay, leave).Stop()
	err := b.server.Relay(&aiv1.RelayRequest{Endpoint: endpoint, Body: body, Headers: map[string]string{"content-type": s.kind}},
		&callerStream{ctx: ctx, take: func([]byte) error { return ctx.Err() }})
	return weak.Make(&body[0]), err
}

// requireFreed fails when a form stays in memory. A collection may come a moment before the last user has let go.
func requireFreed(t *testing.T, form weak.Pointer[byte]) {
	t.Helper()
	for range 100 {
		runtime.GC()
		if form.Value() == nil {
			return
		}
		time.Sleep(time.Millisecond)
	}
	t.Error("the form stays in memory")
}

// TestAFormIsFreedWhenItsCallerLeaves, although the answer is read to its end and billed: before the answer has begun, and after.
func TestAFormIsFreedWhenItsCallerLeaves(t *testing.T) {
	picture := strings.Repeat("png", 1<<20)
	for name, head := range map[string]time.Duration{"before the head": time.Minute, "after the first event": time.Second} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBubble(t, func(e *exchange) {
					if !e.wait(head) {
						return
					}
					e.start("text/event-stream")
					e.say(strings.ReplaceAll(partialImage, "image_generation", "image_edit"))
					if e.wait(time.Minute) {
						e.say(strings.ReplaceAll(lastImage, "image_generation", "image_edit"))
					}
				}, nil)
				form, err := b.upload(edits, form(t, "model", "gpt-image-1", "prompt", "a", "stream", "true", "@image", picture), 30*time.Second)
				require.Error(t, err)
				synctest.Wait()
				requireFreed(t, form)
				require.NotZero(t, b.billing.Held(), "the answer is read on")
				time.Sleep(3 * time.Minute)
				synctest.Wait()
				final, hold := b.settled()
				require.EqualValues(t, imageCost, hold.Cost)
				require.Equal(t, billingv1.Outcome_OUTCOME_CALLER_LEFT, final.GetOutcome())
				b.stop()
			})
		})
	}
}

// TestAFormOfACallerWhoLeftIsNotSentAgain: the caller leaves while the provider fails.
func TestAFormOfACallerWhoLeftIsNotSentAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		attempts := 0
		b := newBubble(t, func(e *exchange) {
			attempts++
			if e.wait(time.Minute) {
				e.start("text/event-stream")
				e.say("data: {")
			}
		}, func(c *ai.Config) { c.Tries, c.RetryDelay = 3, time.Second })
		form, err := b.upload(edits, form(t, "model", "gpt-image-1", "prompt", "a", "@image", "png"), 30*time.Second)
		require.Error(t, err)
		time.Sleep(5 * time.Minute)
		synctest.Wait()
		requireFreed(t, form)
		require.Equal(t, 1, attempts)
		_, hold := b.settled()
		require.Zero(t, hold.Cost)
		b.stop()
	})
}
