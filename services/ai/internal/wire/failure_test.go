package wire_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/services/ai/internal/wire"
)

func TestFailuresInAnyEnvelope(t *testing.T) {
	for body, want := range map[string]wire.Failure{
		`{"error":{"message":"m","type":"t","code":"c","param":"p"}}`:                       {Message: "m", Type: "t", Code: "c", Param: "p"},
		`{"error":{"message":"m","type":"t","code":null,"param":null}}`:                     {Message: "m", Type: "t"},
		`{"error":{"message":"Upstream overloaded","code":502}}`:                            {Message: "Upstream overloaded", Status: 502},
		`{"error":"model does not support tools"}`:                                          {Message: "model does not support tools"},
		`{"object":"error","message":"m","type":"BadRequestError","param":null,"code":400}`: {Message: "m", Type: "BadRequestError", Status: 400},
		`{"message":"no"}`:       {Message: "no"},
		`{"detail":"Not Found"}`: {Message: "Not Found"},
		`{"detail":[{"loc":["body","stream_options"],"msg":"Extra inputs","type":"extra"}]}`:     {Message: "Extra inputs", Type: "extra", Param: "stream_options"},
		`{"detail":[{"loc":["body","messages",0,"role"],"msg":"a"},{"loc":["body"],"msg":"b"}]}`: {Message: "a", Param: "messages.role"},
		`{"errors":[{"message":"first"},{"message":"second"}]}`:                                  {Message: "first"},
		`{"errors":["first","second"]}`:                                                          {Message: "first"},
		`[{"error":{"code":429,"message":"Quota","status":"RESOURCE_EXHAUSTED"}}]`:               {Message: "Quota", Status: 429},
		`{"title":"T","detail":"D","status":422}`:                                                {Message: "D", Status: 422},
		`{"message":"outer","error":{"message":"inner"}}`:                                        {Message: "inner"},
		`{"error":{"message":"inner"},"message":"outer"}`:                                        {Message: "inner"},
		`{"error":"Bad Request","message":"the model is gone"}`:                                  {Message: "the model is gone"},
		`{"error":{"message":"  m \n"}}`:                                                         {Message: "m"},
		`{"error":{"message":"cut","type":"t","inner":"abc`:                                      {Message: "cut", Type: "t"},
		`{"error":{"code":"999","message":"x\u0000"}}`:                                           {Message: "x\x00", Code: "999"},
		`{"error":{"code":200,"message":"m"}}`:                                                   {Message: "m"},
		`{"error":{"code":600,"message":"m"}}`:                                                   {Message: "m"},
		`"text"`:                                                                                 {Message: "text"},
		`{"error":{}}`:                                                                           {},
		`{"error":null}`:                                                                         {},
		`{}`:                                                                                     {},
		``:                                                                                       {},
		`<html>`:                                                                                 {},
		`{"choices":[{"message":"m"}]}`:                                                          {},
	} {
		require.Equal(t, want, wire.ReadFailure([]byte(body)), body)
	}
}

func TestEmptyErrorsAreIgnored(t *testing.T) {
	for raw, want := range map[string]bool{
		`null`: false, `false`: false, `0`: false, `""`: false, `" "`: false, `{}`: false, `[]`: false, `{ }`: false,
		`true`: true, `"x"`: true, `{"message":""}`: true, `["x"]`: true,
	} {
		require.Equal(t, want, wire.IsFailure([]byte(raw)), raw)
	}
}
