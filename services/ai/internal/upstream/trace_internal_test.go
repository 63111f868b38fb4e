package upstream

import (
	"net/url"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/platform/models"
)

func TestNamesOfTheConventions(t *testing.T) {
	for address, want := range map[string]int{
		"https://api.openai.com/v1": 443, "http://127.0.0.1:8080/v1": 8080, "http://vllm/v1": 80, "https://[::1]:8443": 8443,
	} {
		u, err := url.Parse(address)
		require.NoError(t, err)
		require.Equal(t, want, portOf(u), address)
	}
	require.Equal(t, "openai", providerOf(models.TargetOpenAI, ""))
	require.Equal(t, "groq", providerOf("compatible", "groq"))
	require.Equal(t, "azure.ai.openai", providerOf(models.TargetAzure, "openai"))
}
