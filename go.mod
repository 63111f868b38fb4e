module github.com/trivet-dev/trivet

go 1.26.0

require (
	github.com/trivet-dev/trivet/gateway v0.0.0
	github.com/trivet-dev/trivet/gen v0.0.0
	github.com/trivet-dev/trivet/platform v0.0.0
	github.com/trivet-dev/trivet/sandbox v0.0.0
	github.com/trivet-dev/trivet/services/ai v0.0.0
	github.com/trivet-dev/trivet/services/auth v0.0.0
	github.com/trivet-dev/trivet/services/billing v0.0.0
)

require (
	buf.build/gen/go/bufbuild/protovalidate/protocolbuffers/go v1.36.12-20260825204119-511051f7f437.2 // indirect
	github.com/grpc-ecosystem/grpc-gateway/v2 v2.33.0 // indirect
	github.com/inconshreveable/mousetrap v1.1.0 // indirect
	github.com/jhump/protoreflect/v2 v2.0.0 // indirect
	github.com/sashabaranov/go-openai v1.43.0 // indirect
	github.com/spf13/cobra v1.10.2 // indirect
	github.com/spf13/pflag v1.0.9 // indirect
	go.yaml.in/yaml/v3 v3.0.6 // indirect
	golang.org/x/text v0.43.0 // indirect
	google.golang.org/genproto/googleapis/api v0.0.0-20261026165753-2ffab32bce7e // indirect
	google.golang.org/genproto/googleapis/rpc v0.0.0-20261019180522-ce908d29299b // indirect
	google.golang.org/grpc v1.85.0 // indirect
	google.golang.org/grpc/cmd/protoc-gen-go-grpc v1.6.2 // indirect
	google.golang.org/protobuf v1.36.12 // indirect
)

tool (
	github.com/grpc-ecosystem/grpc-gateway/v2/protoc-gen-grpc-gateway
	github.com/grpc-ecosystem/grpc-gateway/v2/protoc-gen-openapiv2
	google.golang.org/grpc/cmd/protoc-gen-go-grpc
	google.golang.org/protobuf/cmd/protoc-gen-go
)

replace github.com/trivet-dev/trivet/gen => ./gen

replace github.com/trivet-dev/trivet/platform => ./platform

replace github.com/trivet-dev/trivet/sandbox => ./sandbox

replace github.com/trivet-dev/trivet/gateway => ./gateway

replace github.com/trivet-dev/trivet/services/auth => ./services/auth

replace github.com/trivet-dev/trivet/services/ai => ./services/ai

replace github.com/trivet-dev/trivet/services/billing => ./services/billing
