# One image with every program of Trivet; the command chooses: trivet, auth, ai, billing or gateway.
FROM golang:1.26.8-bookworm AS build
WORKDIR /src
# Modules first, so that a change of code does not fetch them again.
COPY go.mod go.sum ./
RUN go mod download
COPY . .
# A program for production has no use for Clerk's browser files, which only the sandbox serves.
ENV CGO_ENABLED=0 GOWORK=off GOFLAGS="-buildvcs=false -tags=nosandboxscripts"
RUN make build && mkdir -p /out/data /out/tmp && cp bin/* /out/

FROM scratch
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
COPY --from=build /out/trivet /out/auth /out/ai /out/billing /out/gateway /
COPY --from=build --chown=65532:65532 /out/data /data
COPY --from=build --chown=65532:65532 /out/data /keys/private
COPY --from=build --chown=65532:65532 /out/data /keys/shared
COPY --from=build --chown=65532:65532 /out/data /keys/sandbox
COPY --from=build --chown=65532:65532 /out/tmp /tmp
USER 65532:65532
# Inside a container the edge must listen on every address, or no published port reaches it. gRPC and ops stay private.
ENV TRIVET_DATA_DIR=/data TRIVET_HTTP_ADDR=0.0.0.0:8080
EXPOSE 8080
ENTRYPOINT []
CMD ["/trivet", "serve"]
