package ai_test

import (
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	billingv1 "github.com/trivet-dev/trivet/gen/go/trivet/billing/v1"
	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
	"github.com/trivet-dev/trivet/platform/errs"
	"github.com/trivet-dev/trivet/services/ai"
)

// TestAnAccountHasAShareOfTheAbandonedReads lets one account leave more answers than its share. Another account still
// finds room, until all of it is taken.
func TestAnAccountHasAShareOfTheAbandonedReads(t *testing.T) {
	cases := map[string]struct {
		reads    int
		accounts []string // in the order in which they leave
		bound    []bool   // whether each is billed at its bound
		reason   string
	}{
		"a quarter":             {8, []string{"a", "a", "a", "b"}, []bool{false, false, true, false}, "of this account"},
		"rounded up":            {5, []string{"a", "a", "a", "b"}, []bool{false, false, true, false}, "of this account"},
		"one of a few":          {1, []string{"a", "a"}, []bool{false, true}, "too many abandoned answers are read"},
		"all together":          {2, []string{"a", "b", "c"}, []bool{false, false, true}, "too many abandoned answers are read"},
		"none":                  {0, []string{"a"}, []bool{true}, "too many abandoned answers are read"},
		"a share is given back": {4, []string{"a", "wait", "a", "a"}, []bool{false, false, true}, "of this account"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBubble(t, func(e *exchange) {
					if e.wait(time.Minute) {
						e.start("application/json")
						e.say(wholeAnswer(13, 600))
					}
				}, func(config *ai.Config) { config.AbandonedReads = c.reads })
				for _, account := range c.accounts {
					if account == "wait" {
						time.Sleep(2 * time.Minute)
						continue
					}
					_ = b.callBy(account, chatEndpoint, request("gpt-4o", `,"max_tokens":700`), 0, time.Second)
				}
				time.Sleep(2 * time.Minute)
				var bound []bool
				for _, h := range b.billing.Holds() {
					bound = append(bound, h.Settled[0].GetUsage().GetOutputTokens() == 700)
				}
				require.Equal(t, c.bound, bound)
				require.Contains(t, b.logged.String(), c.reason)
				b.stop()
			})
		})
	}
}

// TestAbandonedCallHasACheckpointAtItsBound writes a checkpoint at the bound of an abandoned answer that cannot be counted: a
// process that is killed leaves the hold to billing's sweeper, which charges the last checkpoint.
func TestAbandonedCallHasACheckpointAtItsBound(t *testing.T) {
	whole := func(e *exchange) { e.wait(time.Hour) }
	thinking := func(e *exchange) {
		e.start("text/event-stream")
		e.say(delta(" hello"))
		e.wait(time.Hour)
	}
	cases := map[string]struct {
		script func(*exchange)
		body   string
		leaves bool
		output int32
	}{
		"a whole answer":                   {whole, request("gpt-4o", `,"max_tokens":1000,"n":2`), true, 2000},
		"a whole answer, the caller stays": {whole, request("gpt-4o", `,"max_tokens":1000`), false, 0},
		"reasoning":                        {thinking, request("o3", `,"stream":true,"max_completion_tokens":5000`), true, 5000},
		"reasoning, the caller stays":      {thinking, request("o3", `,"stream":true,"max_completion_tokens":5000`), false, 1},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBubble(t, c.script, nil)
				after := time.Hour
				if c.leaves {
					after = time.Second
				}
				ended := make(chan struct{})
				go func() {
					defer close(ended)
					_ = b.call(chatEndpoint, c.body, 0, after)
				}()
				time.Sleep(12 * time.Second)
				checkpoints := b.billing.Checkpoints()
				require.NotEmpty(t, checkpoints)
				last := checkpoints[len(checkpoints)-1]
				require.Equal(t, c.output, last.GetUsage().GetOutputTokens())
				require.Positive(t, last.GetUsage().GetInputTokens())
				<-ended
				time.Sleep(time.Hour)
				b.stop()
			})
		})
	}
}

// TestProviderBreaksOffWhileReasoning says nothing of what the model thought. A stream that showed something is charged
// what it showed and a low estimate of the thinking before that. The operator is told.
func TestProviderBreaksOffWhileReasoning(t *testing.T) {
	stream := func(after time.Duration, text string) func(*exchange) {
		return func(e *exchange) {
			e.start("text/event-stream")
			if e.wait(after) {
				e.say(text)
			}
		}
	}
	const thought, role = `data: {"choices":[{"index":0,"delta":{"reasoning_content":" so"}}]}` + "\n\n", `data: {"choices":[{"index":0,"delta":{"role":"assistant"}}]}` + "\n\n"
	failure := `data: {"error":{"message":"overloaded"}}` + "\n\n"
	ask := `,"stream":true,"max_completion_tokens":5000`
	cases := map[string]struct {
		script func(*exchange)
		body   string
		leaves bool
		output int32 // what is charged
		hidden int32 // the part of it that is an estimate
		told   int   // how often the log tells of it
	}{
		"after its first word":        {stream(30*time.Second, delta(" hello")), request("o3", ask), false, 601, 600, 1},
		"the caller has left":         {stream(30*time.Second, delta(" hello")), request("o3", ask), true, 601, 600, 1},
		"with an error event":         {stream(30*time.Second, delta(" hello")+failure), request("o3", ask), false, 601, 600, 1},
		"at the bound":                {stream(300*time.Second, delta(" hello")), request("o3", ask), false, 5000, 4999, 1},
		"reasoning that is shown":     {stream(5*time.Second, thought+thought), request("gpt-4.1", ask), false, 102, 100, 1},
		"before it showed anything":   {stream(30*time.Second, role), request("o3", ask), false, 0, 0, 1},
		"with its usage":              {stream(30*time.Second, delta(" hello")+usageEvent(13, 700, 699)), request("o3", ask), false, 700, 699, 0},
		"with a total":                {stream(30*time.Second, delta(" hello")+`data: {"usage":{"prompt_tokens":13,"total_tokens":713}}`+"\n\n"), request("o3", ask), false, 700, 0, 0},
		"after its end":               {stream(30*time.Second, delta(" hello")+finish+done), request("o3", ask), false, 1, 0, 0},
		"of a model that does not":    {stream(30*time.Second, delta(" hello")), request("gpt-4o", ask), false, 1, 0, 0},
		"of a whole answer":           {func(e *exchange) { e.start("application/json"); _ = e.w.CloseWithError(io.ErrUnexpectedEOF) }, request("gpt-4o", ""), false, 0, 0, 1},
		"that is not an answer":       {func(e *exchange) { e.start("application/json"); e.say(`{"error":{}}`) }, request("gpt-4o", ""), false, 0, 0, 0},
		"that does not begin in time": {func(e *exchange) { e.wait(2 * time.Hour) }, request("o3", ask), true, 5000, 0, 0},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBubble(t, c.script, nil)
				after := 5 * time.Hour
				if c.leaves {
					after = time.Second
				}
				_ = b.call(chatEndpoint, c.body, 0, after)
				time.Sleep(time.Hour)
				final, hold := b.settled()
				usage := final.GetUsage()
				require.Equal(t, c.output, usage.GetOutputTokens())
				require.Equal(t, c.hidden, usage.GetReasoningTokens())
				require.LessOrEqual(t, hold.Cost, hold.Response.GetHeldNanoUsd())
				require.Equal(t, c.told, strings.Count(b.logged.String(), "broke off an answer that cannot be counted"))
				if c.told > 0 {
					require.Contains(t, b.logged.String(), fmt.Sprintf("estimated_reasoning_tokens=%d ", c.hidden))
				}
				b.stop()
			})
		})
	}
}

// TestThinkingIsNotSilence lets a model that reasons be silent for longer than another: cutting it off would cost the
// work that the provider has done and will charge for.
func TestThinkingIsNotSilence(t *testing.T) {
	cases := map[string]struct {
		model   string
		silence time.Duration
		output  int32
		reason  errorsv1.ErrorReason
	}{
		"a model that reasons":      {"o3", 9 * time.Minute, 1700, 0},
		"for too long":              {"o3", 11 * time.Minute, 1, errorsv1.ErrorReason_ERROR_REASON_UPSTREAM_TIMEOUT},
		"a model that does not":     {"gpt-4o", 3 * time.Minute, 1, errorsv1.ErrorReason_ERROR_REASON_UPSTREAM_TIMEOUT},
		"a silence that is allowed": {"gpt-4o", time.Minute, 1700, 0},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBubble(t, func(e *exchange) {
					e.start("text/event-stream")
					if e.say(delta(" hello")) && e.wait(c.silence) {
						e.say(finish + usageEvent(13, 1700, 1699) + done)
					}
				}, func(config *ai.Config) { config.HeaderTimeout, config.IdleTimeout = 10*time.Minute, 2*time.Minute })
				err := b.call(chatEndpoint, request(c.model, `,"stream":true`), 0, time.Hour)
				final, _ := b.settled()
				require.Equal(t, c.output, final.GetUsage().GetOutputTokens())
				if c.reason == 0 {
					require.NoError(t, err)
					require.Equal(t, billingv1.Outcome_OUTCOME_COMPLETED, final.GetOutcome())
				} else {
					require.Equal(t, c.reason, errs.ReasonOf(err))
				}
				b.stop()
			})
		})
	}
}
