package grpcserver

import (
	"regexp"
	"strings"
	"testing"

	"buf.build/gen/go/bufbuild/protovalidate/protocolbuffers/go/buf/validate"
	"buf.build/go/protovalidate"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	aiv1 "github.com/trivet-dev/trivet/gen/go/trivet/ai/v1"
	authv1 "github.com/trivet-dev/trivet/gen/go/trivet/auth/v1"
	billingv1 "github.com/trivet-dev/trivet/gen/go/trivet/billing/v1"
)

var contract = []protoreflect.FileDescriptor{
	aiv1.File_trivet_ai_v1_ai_proto, authv1.File_trivet_auth_v1_auth_proto, billingv1.File_trivet_billing_v1_billing_proto,
}

// eachRule calls f for every field of the contract that has rules, and for the items of lists.
func eachRule(f func(protoreflect.FieldDescriptor, *validate.FieldRules)) {
	protoregistry.GlobalFiles.RangeFiles(func(file protoreflect.FileDescriptor) bool {
		if strings.HasPrefix(string(file.Package()), "trivet.") {
			eachMessage(file.Messages(), f)
		}
		return true
	})
}

func eachMessage(all protoreflect.MessageDescriptors, f func(protoreflect.FieldDescriptor, *validate.FieldRules)) {
	for i := range all.Len() {
		eachMessage(all.Get(i).Messages(), f)
		fields := all.Get(i).Fields()
		for j := range fields.Len() {
			field := fields.Get(j)
			rules, _ := proto.GetExtension(field.Options(), validate.E_Field).(*validate.FieldRules)
			if rules == nil {
				continue
			}
			f(field, rules)
			if items := rules.GetRepeated().GetItems(); items != nil {
				f(field, items)
			}
		}
	}
}

// technical is what an error must not show to people.
var technical = regexp.MustCompile(`\^|\$|\\|buf\.|_items|_len|gte|lte|not_in|pattern|regex|rule`)

// A rule kind that the contract begins to use needs words here.
func TestEveryRuleOfTheContractHasWords(t *testing.T) {
	require.NotEmpty(t, contract)
	count := 0
	eachRule(func(field protoreflect.FieldDescriptor, rules *validate.FieldRules) {
		count++
		text := expected(field, rules)
		require.True(t, strings.HasPrefix(text, "must "), "%s has rules without words: %s", field.FullName(), rules)
		require.NotRegexp(t, technical, text, "%s", field.FullName())
		if s := rules.GetString(); s.GetMinLen() > 0 && len(s.GetIn()) == 0 && s.GetPattern() == "" && !field.IsList() {
			require.Contains(t, text, "such as", "%s must not be empty and has no example", field.FullName())
		}
		require.Empty(t, rules.GetCel(), "%s: expressions have no words", field.FullName())
	})
	require.Greater(t, count, 50)
}

func TestInvalidRequestsAreExplained(t *testing.T) {
	validator, err := protovalidate.New()
	require.NoError(t, err)
	chat := func(change func(*aiv1.ChatRequest)) proto.Message {
		m := &aiv1.ChatRequest{Model: "m", Messages: []*aiv1.Message{{Role: "user", Content: "x"}}}
		change(m)
		return m
	}
	part := func(p *aiv1.ContentPart) proto.Message {
		return chat(func(m *aiv1.ChatRequest) {
			m.Messages[0] = &aiv1.Message{Role: "user", Parts: []*aiv1.ContentPart{{Part: &aiv1.ContentPart_Text{Text: "x"}}, p}}
		})
	}
	image := func(i *aiv1.Image) proto.Message {
		return part(&aiv1.ContentPart{Part: &aiv1.ContentPart_Image{Image: i}})
	}
	for name, tc := range map[string]struct {
		message proto.Message
		want    string
	}{
		"missing text":      {chat(func(m *aiv1.ChatRequest) { m.Model = "" }), `model is missing, but must have 1 to 128 characters, such as "gpt-5-mini".`},
		"missing items":     {chat(func(m *aiv1.ChatRequest) { m.Messages = nil }), `messages is missing, but must have 1 to `},
		"long text":         {chat(func(m *aiv1.ChatRequest) { m.Model = strings.Repeat("x", 200) }), `model has 200 characters, but must have 1 to 128 characters`},
		"a choice":          {chat(func(m *aiv1.ChatRequest) { m.Messages[0].Role = "king" }), `messages[0].role is "king", but must be "system", "developer", "user", "assistant" or "tool".`},
		"too low":           {chat(func(m *aiv1.ChatRequest) { n := int32(-1); m.MaxTokens = &n }), `maxTokens is -1, but must be `},
		"not in range":      {chat(func(m *aiv1.ChatRequest) { f := 3.5; m.Temperature = &f }), `temperature is 3.5, but must be from 0 to 2.`},
		"a pattern":         {&billingv1.GetUsageRequest{StartDay: "yesterday"}, `startDay is "yesterday", but must be a day such as "2026-11-28", or empty.`},
		"a part of nothing": {part(&aiv1.ContentPart{}), `messages[0].parts[1].part is missing, but one of text, image must be set.`},
		"an empty text":     {part(&aiv1.ContentPart{Part: &aiv1.ContentPart_Text{}}), `messages[0].parts[1].text is missing, but must have 1 to 4194304 bytes, such as "Hello".`},
		"no source":         {image(&aiv1.Image{}), `messages[0].parts[1].image.source is missing, but one of url, data must be set.`},
		"an address without TLS": {
			image(&aiv1.Image{Source: &aiv1.Image_Url{Url: "http://example.com/a.png"}}),
			`messages[0].parts[1].image.url is "http://example.com/a.png", but must start with "https://" and have 8192 bytes or less.`,
		},
		"a file":            {image(&aiv1.Image{Source: &aiv1.Image_Url{Url: "file:///etc/passwd"}}), `.url is "file:///etc/passwd", but must start with "https://"`},
		"no bytes":          {image(&aiv1.Image{Source: &aiv1.Image_Data{}, MediaType: "image/png"}), `messages[0].parts[1].image.data has 0 bytes, but must have 1 to 20971520 bytes.`},
		"an unknown format": {image(&aiv1.Image{Source: &aiv1.Image_Data{Data: []byte{1}}, MediaType: "image/tiff"}), `.mediaType is "image/tiff", but must be "image/png"`},
		"a name with space": {chat(func(m *aiv1.ChatRequest) { m.ResponseFormat = &aiv1.ResponseFormat{Name: "a b"} }), `responseFormat.name is "a b", but must have up to 64 letters`},
	} {
		t.Run(name, func(t *testing.T) {
			err := invalid(tc.message, validator.Validate(tc.message))
			require.Error(t, err)
			require.ErrorContains(t, err, tc.want)
			require.NotRegexp(t, technical, err.Error())
		})
	}
}

// A secret that is too long is not repeated.
func TestSecretsAreNotShown(t *testing.T) {
	validator, err := protovalidate.New()
	require.NoError(t, err)
	m := &authv1.AuthenticateRequest{Credential: strings.Repeat("s", 9000)}
	require.NotContains(t, invalid(m, validator.Validate(m)).Error(), "sss")
}
