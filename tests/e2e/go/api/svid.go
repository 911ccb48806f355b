package main

import (
	"context"
	"crypto/x509"
	"fmt"
	"time"

	"google.golang.org/grpc"

	svidv1 "github.com/spiffe/spire-api-sdk/proto/spire/api/server/svid/v1"
	"github.com/spiffe/spire-api-sdk/proto/spire/api/types"
)

func (s *site) svids(by caller) {
	c := svidv1.NewSVIDClient(by.conn)
	key := newKey()
	td := "spiffe://" + s.td
	mint := func(name string, csr []byte, ttl int32) {
		s.call(by, "SVID/MintX509SVID", name, ask(c.MintX509SVID, &svidv1.MintX509SVIDRequest{Csr: csr, Ttl: ttl}, func(r *svidv1.MintX509SVIDResponse) string {
			leaf, err := x509.ParseCertificate(r.Svid.CertChain[0])
			if err != nil {
				return err.Error()
			}
			return fmt.Sprintf("%s %v life=%v", r.Svid.Id.Path, leaf.URIs, time.Until(leaf.NotAfter).Round(time.Minute))
		}))
	}
	mint("good", csrFor(key, td+"/"+by.name+"/minted"), 600)
	mint("ttl 0 is the default", csrFor(key, td+"/x"), 0)
	mint("negative ttl is the default", csrFor(key, td+"/x"), -1)
	mint("ttl beyond the CA's", csrFor(key, td+"/x"), 1<<30)
	mint("no CSR", nil, 0)
	mint("nonsense", []byte("nonsense"), 0)
	broken := csrFor(key, td+"/x")
	broken[len(broken)-4] ^= 0x55
	mint("wrong signature", broken, 0)
	mint("no URI", csrFor(key), 0)
	mint("two URIs", csrFor(key, td+"/x", td+"/y"), 0)
	mint("no SPIFFE ID", csrFor(key, "https://x.test/x"), 0)
	mint("foreign", csrFor(key, "spiffe://elsewhere.test/x"), 0)
	mint("reserved", csrFor(key, td+"/spire/server"), 0)

	jwt := func(name string, id *types.SPIFFEID, ttl int32, audience ...string) {
		s.call(by, "SVID/MintJWTSVID", name, ask(c.MintJWTSVID, &svidv1.MintJWTSVIDRequest{Id: id, Audience: audience, Ttl: ttl}, func(r *svidv1.MintJWTSVIDResponse) string {
			return fmt.Sprintf("%s life=%ds", r.Svid.Id.Path, r.Svid.ExpiresAt-r.Svid.IssuedAt)
		}))
	}
	jwt("good", s.id("/x"), 60, "a", "b")
	jwt("ttl 0 is the default", s.id("/x"), 0, "a")
	jwt("no audience", s.id("/x"), 60)
	jwt("no id", nil, 60, "a")
	jwt("foreign", foreign("/x"), 60, "a")
	jwt("reserved", s.id("/spire/server"), 60, "a")
	s.call(by, "SVID/MintWITSVID", "not offered", ask(c.MintWITSVID, &svidv1.MintWITSVIDRequest{Id: s.id("/x")}, nothing))
	if by.name == s.local.name {
		s.signing(by, "nobody")
		s.downstream(by)
	}
}

// signing is what agents ask for the workloads of their entries.
func (s *site) signing(by caller, entry string) {
	c := svidv1.NewSVIDClient(by.conn)
	csr := csrFor(newKey())
	s.call(by, "SVID/BatchNewX509SVID", "good, unknown, no CSR, bad CSR, no id", ask(c.BatchNewX509SVID, &svidv1.BatchNewX509SVIDRequest{Params: []*svidv1.NewX509SVIDParams{
		{EntryId: entry, Csr: csr}, {EntryId: "nobody", Csr: csr}, {EntryId: entry}, {EntryId: entry, Csr: []byte("nonsense")}, {Csr: csr},
	}}, func(r *svidv1.BatchNewX509SVIDResponse) string {
		svid := r.Results[0].Svid
		if len(svid.GetCertChain()) == 0 {
			return statuses(r.Results) + "; no certificate"
		}
		leaf, err := x509.ParseCertificate(svid.CertChain[0])
		if err != nil {
			return err.Error()
		}
		return fmt.Sprintf("%s; %v %v", statuses(r.Results), leaf.URIs, leaf.DNSNames)
	}))
	s.call(by, "SVID/BatchNewX509SVID", "nothing", ask(c.BatchNewX509SVID, &svidv1.BatchNewX509SVIDRequest{}, nothing))
	jwt := func(name, entry string, audience ...string) {
		s.call(by, "SVID/NewJWTSVID", name, ask(c.NewJWTSVID, &svidv1.NewJWTSVIDRequest{EntryId: entry, Audience: audience}, func(r *svidv1.NewJWTSVIDResponse) string {
			return fmt.Sprintf("%s life=%ds", r.Svid.Id.Path, r.Svid.ExpiresAt-r.Svid.IssuedAt)
		}))
	}
	jwt("good", entry, "a")
	jwt("no audience", entry)
	jwt("unknown", "nobody", "a")
	s.call(by, "SVID/BatchNewWITSVID", "not offered", ask(c.BatchNewWITSVID, &svidv1.BatchNewWITSVIDRequest{}, nothing))
}

func (s *site) downstream(by caller) {
	c := svidv1.NewSVIDClient(by.conn)
	ca := func(name string, csr []byte) {
		s.call(by, "SVID/NewDownstreamX509CA", name, ask(c.NewDownstreamX509CA, &svidv1.NewDownstreamX509CARequest{Csr: csr}, func(r *svidv1.NewDownstreamX509CAResponse) string {
			leaf, err := x509.ParseCertificate(r.CaCertChain[0])
			if err != nil {
				return err.Error()
			}
			return fmt.Sprintf("ca=%v %v roots=%v", leaf.IsCA, leaf.URIs, len(r.X509Authorities) > 0)
		}))
	}
	ca("good", csrFor(newKey(), "spiffe://"+s.td))
	ca("no CSR", nil)
	ca("bad CSR", []byte("nonsense"))
	ca("foreign", csrFor(newKey(), "spiffe://elsewhere.test"))
}

// asDownstream is a server below this one, whose entry says so.
func (s *site) asDownstream() error {
	by, err := s.dialWith("downstream", "/downstream", &types.Entry{Downstream: true}, func(ctx context.Context, conn *grpc.ClientConn) error {
		_, err := svidv1.NewSVIDClient(conn).NewDownstreamX509CA(ctx, &svidv1.NewDownstreamX509CARequest{Csr: csrFor(newKey(), "spiffe://"+s.td)})
		return err
	})
	if err != nil {
		return err
	}
	s.downstream(by)
	publish(s, by, "as downstream")
	c := svidv1.NewSVIDClient(by.conn)
	s.call(by, "SVID/MintX509SVID", "as downstream", ask(c.MintX509SVID, &svidv1.MintX509SVIDRequest{}, nothing))
	return nil
}
