package ai_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/services/ai"
)

// TestUsageOfChoices: some providers report the usage in a choice. It is the call's if the answer has one choice. Of several choices it is the least
// that the call can have produced, and the texts are counted: "one two" has 2 tokens, "three four five" has 3.
func TestUsageOfChoices(t *testing.T) {
	usage := func(output int) string {
		return fmt.Sprintf(`,"usage":{"prompt_tokens":9,"completion_tokens":%d,"total_tokens":%d}`, output, 9+output)
	}
	for name, c := range map[string]struct {
		asked     int    // "n"
		reported  []int  // by each choice
		more      string // members of the answer
		output    int32
		estimated bool
	}{
		"one":                           {asked: 1, reported: []int{4}, output: 4},
		"two":                           {asked: 2, reported: []int{2, 3}, output: 5, estimated: true},
		"two, the first has more":       {asked: 2, reported: []int{3, 2}, output: 5, estimated: true},
		"two that have thought":         {asked: 2, reported: []int{40, 60}, output: 60, estimated: true},
		"two, and one reports":          {asked: 2, reported: []int{0, 3}, output: 5, estimated: true},
		"two were asked for, one comes": {asked: 2, reported: []int{1}, output: 2, estimated: true},
		"one was asked for, two come":   {asked: 1, reported: []int{2, 3}, output: 5, estimated: true},
		"two, and the call":             {asked: 2, reported: []int{2, 3}, more: usage(11), output: 11},
		"two, and nothing of the call":  {asked: 2, reported: []int{2, 3}, more: `,"usage":null`, output: 5, estimated: true},
	} {
		texts := []string{"one two", "three four five"}
		var whole, events []string
		for i, output := range c.reported {
			end := `,"finish_reason":"stop"`
			if output > 0 {
				end += usage(output)
			}
			whole = append(whole, fmt.Sprintf(`{"message":{"role":"assistant","content":%q}%s,"index":%d}`, texts[i], end, i))
			events = append(events, fmt.Sprintf(`data: {"id":"c1","choices":[{"delta":{"content":%q}%s,"index":%d}]}`, texts[i], end, i))
		}
		answers := map[bool]string{
			false: `{"id":"c1","choices":[` + strings.Join(whole, ",") + `]` + c.more + `}`,
			true:  strings.Join(append(events, `data: {"id":"c1","choices":[]`+c.more+`}`, done), "\n\n"),
		}
		for stream, answer := range answers {
			t.Run(fmt.Sprintf("%s, streamed: %t", name, stream), func(t *testing.T) {
				h := newFixture(t, withConfig(func(c *ai.Config) { c.Tries = 1 }), withUpstream(func(w http.ResponseWriter, r *http.Request) {
					_, _ = io.Copy(io.Discard, r.Body)
					_, _ = io.WriteString(w, answer)
				}))
				a := h.chat(fmt.Sprintf(`{"model":"gpt-4o-mini","n":%d,"stream":%t,"messages":[{"role":"user","content":"hi"}]}`, c.asked, stream))
				require.Nil(t, a.err, a.body)
				final := h.settled().Settled[0]
				require.Equal(t, c.estimated, final.GetEstimated())
				require.EqualValues(t, 9, final.GetUsage().GetInputTokens())
				require.Equal(t, c.output, final.GetUsage().GetOutputTokens())
			})
		}
	}
}
