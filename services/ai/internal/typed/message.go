package typed

import (
	"encoding/base64"
	"fmt"

	goopenai "github.com/sashabaranov/go-openai"

	aiv1 "github.com/trivet-dev/trivet/gen/go/trivet/ai/v1"
)

func toMessages(in []*aiv1.Message) ([]goopenai.ChatCompletionMessage, error) {
	out := make([]goopenai.ChatCompletionMessage, len(in))
	for i, m := range in {
		out[i] = goopenai.ChatCompletionMessage{Role: m.GetRole(), Content: m.GetContent(), Name: m.GetName(), ToolCallID: m.GetToolCallId()}
		for _, call := range m.GetToolCalls() {
			arguments := call.GetArguments()
			if arguments == "" {
				arguments = "{}" // go-openai omits an empty string, and the provider requires one
			}
			out[i].ToolCalls = append(out[i].ToolCalls, goopenai.ToolCall{
				ID: call.GetId(), Type: goopenai.ToolTypeFunction, Function: goopenai.FunctionCall{Name: call.GetName(), Arguments: arguments},
			})
		}
		parts := fmt.Sprintf("messages[%d].parts", i)
		if len(m.GetParts()) > 0 && m.GetContent() != "" {
			return nil, invalid(parts, "is set together with content; set one of the two")
		}
		for j, part := range m.GetParts() {
			translated, err := toPart(part, fmt.Sprintf("%s[%d]", parts, j))
			if err != nil {
				return nil, err
			}
			out[i].MultiContent = append(out[i].MultiContent, translated)
		}
	}
	return out, nil
}

func toPart(in *aiv1.ContentPart, field string) (goopenai.ChatMessagePart, error) {
	image := in.GetImage()
	if image == nil {
		return goopenai.ChatMessagePart{Type: goopenai.ChatMessagePartTypeText, Text: in.GetText()}, nil
	}
	url, err := imageURL(image, field+".image.mediaType")
	return goopenai.ChatMessagePart{
		Type:     goopenai.ChatMessagePartTypeImageURL,
		ImageURL: &goopenai.ChatMessageImageURL{URL: url, Detail: goopenai.ImageURLDetail(image.GetDetail())},
	}, err
}

// imageURL is the address of an image, or the image itself as an address.
func imageURL(image *aiv1.Image, field string) (string, error) {
	switch media := image.GetMediaType(); {
	case image.GetUrl() != "" && media != "":
		return "", invalid(field, "is set together with url; set it with data only")
	case image.GetUrl() != "":
		return image.GetUrl(), nil
	case media == "":
		return "", invalid(field, `is missing; set the format of data, such as "image/png"`)
	default:
		return "data:" + media + ";base64," + base64.StdEncoding.EncodeToString(image.GetData()), nil
	}
}
