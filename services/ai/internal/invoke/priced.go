package invoke

import (
	"cmp"
	"log/slog"
	"slices"
	"strings"
	"sync/atomic"

	"google.golang.org/protobuf/proto"

	billingv1 "github.com/trivet-dev/trivet/gen/go/trivet/billing/v1"
	usagev1 "github.com/trivet-dev/trivet/gen/go/trivet/usage/v1"
	"github.com/trivet-dev/trivet/platform/models"
	"github.com/trivet-dev/trivet/platform/saturate"
	"github.com/trivet-dev/trivet/services/ai/internal/audio"
	"github.com/trivet-dev/trivet/services/ai/internal/hold"
	"github.com/trivet-dev/trivet/services/ai/internal/tokens"
	"github.com/trivet-dev/trivet/services/ai/internal/wire"
)

// priced is what a call can use, and has used, whose price its text tokens do not describe. ai prices such a call itself,
// by the price list that the call began with.
type priced struct {
	worst models.Worst
	// most is the bound of each kind.
	most models.Quantities
	// likely is the estimate of the length of sound, in milliseconds, and prompt that of the tokens of a prompt.
	likely, prompt int64
	// answer is what the provider reported of images or sound, and details of a conversation.
	answer wire.MediaAnswer
	read   bool  // answer was read
	size   int64 // of answer, in bytes
	shown  int64 // the last time that subtitles show, in milliseconds
	// Of a stream: whether its last event has come, how many incomplete images have, the smallest part of a transcript that was
	// counted, and the output tokens so far, for checkpoints.
	ended    bool
	partials int64
	part     wire.Part
	seen     atomic.Int64
	details  wire.Details
}

// reset forgets an attempt that failed.
func (p *priced) reset() {
	if p != nil {
		p.answer, p.read, p.size, p.shown, p.details = wire.MediaAnswer{}, false, 0, 0, wire.Details{}
		p.ended, p.partials, p.part = false, 0, wire.PartNone
		p.seen.Store(0)
	}
}

// priceOf bounds a call; nil when the prices of its text tokens describe it.
func priceOf(req *wire.Request, m models.Model) (p *priced, err error) {
	if err := checkImages(req, m); err != nil {
		return nil, err
	}
	if req.Media == nil {
		p, err = featuresOf(req, m)
	} else {
		p, err = mediaOf(req, m)
	}
	if p == nil || err != nil {
		return nil, err
	}
	p.worst, err = m.Worst(p.most)
	return p, err
}

// checkImages refuses images that the model sees at a price if nobody knows the most tokens of one.
func checkImages(req *wire.Request, m models.Model) error {
	at := req.ImageAt()
	if req.Media != nil && req.Media.InputImages > 0 {
		at = "image"
	}
	if at == "" || m.MaxImageTokens > 0 || m.Prices != nil && len(m.Prices.Images) > 0 {
		return nil
	}
	if worst, err := m.Worst(models.Quantities{Input: m.ContextTokens, ImageInput: 1, Tier: req.Tier}); err == nil && worst.Input == 0 {
		return nil // the whole context is free
	}
	return invalid(at, "is an image, and the price list does not say how many tokens an image of %s has at most, so its cost has no bound. Ask the operator to set max_image_tokens of the model in MODELS_FILE", m.ID)
}

// imageTokens are the most tokens of all images that a request for images brings.
func imageTokens(media *wire.Media, m models.Model) int64 {
	return min(media.InputImages*cmp.Or(m.MaxImageTokens, m.ContextTokens), m.ContextTokens)
}

// Bounds of tokens that the request does not show.
const (
	// soundTokens bounds the tokens of a second of sound: OpenAI's models hear ten, Gemini 32.
	soundTokens = 32
	// promptTokens frame a prompt.
	promptTokens = 64
)

// mediaOf bounds a request for images or sound.
func mediaOf(req *wire.Request, m models.Model) (*priced, error) {
	media, p := req.Media, &priced{}
	prompt := int64(len(media.Prompt)) + promptTokens
	p.prompt = tokens.Guess(int64(len(media.Prompt)))
	switch m.Kind {
	case models.KindSpeech:
		if p.most.Characters = media.Characters; p.most.Characters > m.ContextTokens {
			return nil, invalid("input", "has %d characters, but %s accepts at most %d", media.Characters, m.ID, m.ContextTokens)
		}
	case models.KindTranscription:
		length := audio.Measure(media.Sound, m.Prices.MaxAudioSeconds)
		p.likely = length.Likely
		if m.Prices.Minute > 0 || m.MaxOutputTokens == 0 {
			p.most.AudioMillis = wholeSeconds(length.Most) + 1000 // providers round to seconds
			break
		}
		p.most.AudioInput = min(wholeSeconds(length.Most)/1000*soundTokens+soundTokens, m.ContextTokens)
		p.most.Input, p.most.Output = min(p.most.AudioInput+prompt, m.ContextTokens), m.MaxOutputTokens
	default:
		p.most.Images = media.Images
		if len(m.Prices.Images) > 0 {
			return p, p.priceImage(media, m)
		}
		p.most.ImageInput = imageTokens(media, m)
		p.most.Input = min(p.most.ImageInput+prompt, m.ContextTokens)
		p.most.Output = (m.MaxOutputTokens + partialTokens*media.Partials) * media.Images
		p.most.ImageOutput = p.most.Output
	}
	return p, nil
}

// Defaults of OpenAI's models with a price for each image.
const defaultQuality, defaultSize = "standard", "1024x1024"

// priceImage finds the price of an image of that quality and size.
func (p *priced) priceImage(media *wire.Media, m models.Model) error {
	quality, size := media.Quality, media.Size
	if quality == "" || quality == "auto" {
		quality = defaultQuality
	}
	if size == "" || size == "auto" {
		size = defaultSize
	}
	p.most.Image = quality + "/" + size
	if _, known := m.Prices.Images[p.most.Image]; known {
		return nil
	}
	field, all := "size", make([]string, 0, len(m.Prices.Images))
	for one := range m.Prices.Images {
		all = append(all, one)
	}
	if !slices.ContainsFunc(all, func(one string) bool { return strings.HasPrefix(one, quality+"/") }) {
		field = "quality"
	}
	slices.Sort(all)
	return invalid(field, "has no price: an image of %q at %q is not in the price list of %s, which has %s", quality, size, m.ID, strings.Join(all, ", "))
}

// wholeSeconds rounds milliseconds up to whole seconds, in milliseconds.
func wholeSeconds(millis int64) int64 { return (millis + 999) / 1000 * 1000 }

// reserve completes the request for a hold.
func (p *priced) reserve(ask *billingv1.ReserveRequest) {
	ask.Pricing = &billingv1.CallPricing{InputNanoUsdPerMillionTokens: p.worst.Input, OutputNanoUsdPerMillionTokens: p.worst.Output, FixedNanoUsd: p.worst.Fixed}
	if p.most.Input > 0 || p.media() {
		ask.InputTokens = saturate.Int32(p.most.Input)
	}
	if p.media() {
		ask.Choices, ask.MaxOutputTokens = 1, saturate.Int32(p.most.Output)
		ask.MinOutputTokens, ask.ExpectedInputTokens = ask.GetMaxOutputTokens(), saturate.Int32(p.begun().Input)
	}
}

// media reports whether the call is for images or sound.
func (p *priced) media() bool { return p.most.Images > 0 || p.most.Characters > 0 || p.likely > 0 }

// guess is how many tokens the call may use, for the limits.
func (p *priced) guess(req *wire.Request, m models.Model) int64 {
	if req.Media != nil {
		return p.most.Input + p.most.Output
	}
	return req.GuessInput(m) + wanted(req, m)*req.Choices
}

// bill prices what was used and says what it was.
func (c *call) bill(final *hold.Final, q models.Quantities) {
	cost, err := c.model.Price(q)
	if err != nil { // the bounds have prices, so this is a defect
		c.invoker.deps.Logger.ErrorContext(c.up, "a call cannot be priced; it is billed at its bound",
			slog.Any("error", err), slog.String("hold_id", c.hold.ID()))
		cost, _ = models.Model{InputPrice: c.priced.worst.Input, OutputPrice: c.priced.worst.Output}.Cost(final.Usage.Input, 0, final.Usage.Output)
		cost += c.priced.worst.Fixed
	}
	final.Priced, final.Cost = true, cost
	final.Details = detailsOf(q)
}

// detailsOf is what the log of calls says besides tokens.
func detailsOf(q models.Quantities) *usagev1.UsageDetails {
	var tools int64
	for _, n := range q.Tools {
		tools += n
	}
	d := &usagev1.UsageDetails{
		AudioInputTokens: saturate.Int32(q.AudioInput), ImageInputTokens: saturate.Int32(q.ImageInput), AudioOutputTokens: saturate.Int32(q.AudioOutput),
		ImageOutputTokens: saturate.Int32(q.ImageOutput), Images: saturate.Int32(q.Images), AudioMillis: saturate.Int32(q.AudioMillis),
		Characters: saturate.Int32(q.Characters), ToolCalls: saturate.Int32(tools), ServiceTier: q.Tier,
	}
	if proto.Size(d) == 0 {
		return nil
	}
	return d
}
