package openai

import "unicode"

// CountTokens returns the number of tokens in a text by the sandbox's rule: each word, that is each run of
// characters between white space, is one.
//
// No real tokenizer makes fewer tokens of a text, because none joins two words; so an estimate made with one
// stays an upper bound of what the sandbox reports. The words of the sandbox's own replies are common ones
// that are one token in OpenAI's vocabularies too.
func CountTokens(text string) int {
	n, inWord := 0, false
	for _, c := range text {
		space := unicode.IsSpace(c)
		if !space && !inWord {
			n++
		}
		inWord = !space
	}
	return n
}

// The overheads of a chat prompt, as OpenAI publishes them for its chat models: tokens per message, per
// message's role, per message's name, and for the start of the reply.
const (
	tokensPerMessage = 3
	tokensPerRole    = 1
	tokensPerName    = 1
	tokensOfPriming  = 3
	tokensPerImage   = 85
)

// PromptTokens returns what the sandbox reports as prompt tokens for messages and tools.
func (r *chatRequest) promptTokens() int {
	n := tokensOfPriming
	for i := range r.Messages {
		m := &r.Messages[i]
		n += tokensPerMessage + tokensPerRole + CountTokens(m.text) + m.images*tokensPerImage
		if m.Name != "" {
			n += tokensPerName + CountTokens(m.Name)
		}
		for _, call := range m.ToolCalls {
			n += CountTokens(call.Function.Name) + CountTokens(call.Function.Arguments)
		}
	}
	for _, t := range r.Tools {
		n += CountTokens(t.Function.Name) + CountTokens(t.Function.Description) + CountTokens(string(t.Function.Parameters))
	}
	return n
}
