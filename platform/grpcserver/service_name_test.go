package grpcserver

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestServiceOf(t *testing.T) {
	for method, want := range map[string]string{
		"/trivet.ai.v1.AIService/Chat": "ai", "/trivet.auth.v1.AuthService/GetMe": "auth", "/other.ai.v1.AIService/Chat": "",
		"/grpc.health.v1.Health/Check": "", "/trivet": "", "": "",
	} {
		require.Equal(t, want, serviceOf(method), method)
	}
}
