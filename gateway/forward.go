package gateway

import (
	"fmt"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
)

// ForwardClerk serves Clerk's Frontend API from a sandbox in another process, for Development.Clerk. The Host header stays
// the caller's: the sandbox refuses names of other machines.
func ForwardClerk(sandbox string) (http.Handler, error) {
	target, err := url.Parse(strings.TrimRight(sandbox, "/") + "/clerk")
	if err != nil || target.Host == "" {
		return nil, fmt.Errorf("%q is not the address of a sandbox, such as http://127.0.0.1:8090", sandbox)
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		proxy := httputil.ReverseProxy{
			Rewrite: func(p *httputil.ProxyRequest) {
				p.SetURL(target)
				p.Out.Host = p.In.Host
				p.Out.Header["X-Forwarded-Host"] = p.In.Header["X-Forwarded-Host"]
				p.Out.Header["X-Forwarded-Proto"] = p.In.Header["X-Forwarded-Proto"]
			},
			ModifyResponse: func(answer *http.Response) error {
				for name := range answer.Header { // the sandbox's headers replace the edge's
					w.Header().Del(name)
				}
				return nil
			},
			ErrorHandler: func(w http.ResponseWriter, _ *http.Request, _ error) {
				http.Error(w, "The sandbox cannot be reached: see TRIVET_SANDBOX_URL.", http.StatusBadGateway)
			},
		}
		proxy.ServeHTTP(w, r)
	}), nil
}
