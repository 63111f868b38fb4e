// Package rpc is AIService on the wire: it translates, calls, and translates back.
package rpc

import (
	aiv1 "github.com/trivet-dev/trivet/gen/go/trivet/ai/v1"
	"github.com/trivet-dev/trivet/platform/health"
	"github.com/trivet-dev/trivet/platform/models"
	"github.com/trivet-dev/trivet/services/ai/internal/invoke"
	"github.com/trivet-dev/trivet/services/ai/internal/plan"
	"github.com/trivet-dev/trivet/services/ai/internal/responses"
	"github.com/trivet-dev/trivet/services/ai/internal/typed"
)

// Options holds what a Server works with; all are needed.
type Options struct {
	Invoker   *invoke.Invoker
	Responses *responses.Front
	Typed     *typed.Client
	Models    *models.List
	Plans     *plan.Cache
	// Service and Provider report how ai itself and the model provider work.
	Service  *health.Service
	Provider *health.Provider
}

// Server serves AIService.
type Server struct {
	aiv1.UnimplementedAIServiceServer

	invoker   *invoke.Invoker
	responses *responses.Front
	typed     *typed.Client
	models    *models.List
	plans     *plan.Cache

	service  *health.Service
	provider *health.Provider
}

// New returns a server.
func New(o Options) *Server {
	return &Server{invoker: o.Invoker, responses: o.Responses, typed: o.Typed, models: o.Models, plans: o.Plans, service: o.Service, provider: o.Provider}
}
