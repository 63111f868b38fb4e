// Package apikey makes and checks Trivet's own API keys: shown once, kept as a keyed hash, revocable everywhere at once.
package apikey

// The scopes that a key may hold. Each RPC says in proto which of them it needs.
const (
	ScopeInvoke       = "ai.invoke"
	ScopeReadModels   = "models.read"
	ScopeReadBilling  = "billing.read"
	ScopeWriteBilling = "billing.write"
	ScopeManageKeys   = "keys.manage"
)

// Scopes are all scopes, which is what a session holds.
func Scopes() []string {
	return []string{ScopeInvoke, ScopeReadModels, ScopeReadBilling, ScopeWriteBilling, ScopeManageKeys}
}

// DefaultScopes are a key's when its maker names none.
func DefaultScopes() []string { return []string{ScopeInvoke, ScopeReadModels} }
