package native

import (
	"fmt"
	"math"
	"runtime/debug"
	"slices"

	"github.com/verifily/verifily-tui/core/fault"
	"github.com/verifily/verifily-tui/core/tensor"
)

// Param is one named tensor of the model, row-major.
type Param struct {
	Name  string // as in the Hugging Face layout
	Shape []int
	Value []float32
	// Quant stands in for Value in a quantised base.
	Quant tensor.Quantized
	// Grad, M and V are the gradient and the optimiser's moments; nil when the
	// parameter is frozen.
	Grad, M, V []float32
	// Decay is false for norms, which weight decay leaves alone.
	Decay bool
	// above and below are the matrices that the forward and the backward pass
	// come to next; nil at the end.
	above, below *Param
}

func (p *Param) trainable() bool { return p.Grad != nil }

func (p *Param) mat() tensor.Matrix { return tensor.Mat(p.Value, p.Shape[0], p.Shape[1]) }

func (p *Param) gradMat() tensor.Matrix { return tensor.Mat(p.Grad, p.Shape[0], p.Shape[1]) }

func size(shape []int) int {
	n := 1
	for _, s := range shape {
		n *= s
	}
	return n
}

// Linear is y = x·Wᵀ, with an adapter or without.
type Linear struct {
	W    *Param // out × in
	LoRA *Adapter
}

// trainable tells whether the layer has any gradient of its own.
func (l *Linear) trainable() bool { return l.W.trainable() || l.LoRA != nil }

// Adapter adds scale · dropout(x)·Aᵀ·Bᵀ to a linear layer. (Hu et al. 2021,
// "LoRA: Low-Rank Adaptation of Large Language Models"; names as in PEFT.)
type Adapter struct {
	A, B    *Param // r × in, out × r
	Scale   float32
	Dropout float32
	stream  uint64 // names the dropout stream of this adapter
}

// Block is one decoder layer.
type Block struct {
	Norm1, Norm2   *Param
	Q, K, V, O     *Linear
	Gate, Up, Down *Linear
}

func (b *Block) linears() []*Linear {
	return []*Linear{b.Q, b.K, b.V, b.O, b.Gate, b.Up, b.Down}
}

// moduleNames are the linear layers of a block in the order of linears, with
// the part of the block they stand in.
var moduleNames = []struct{ part, name string }{
	{"self_attn", "q_proj"}, {"self_attn", "k_proj"}, {"self_attn", "v_proj"}, {"self_attn", "o_proj"},
	{"mlp", "gate_proj"}, {"mlp", "up_proj"}, {"mlp", "down_proj"},
}

// Model is a decoder with its parameters.
type Model struct {
	Arch   Arch
	Embed  *Param
	Blocks []*Block
	Norm   *Param
	Head   *Param // the embedding itself when tied; nil for classification
	Score  *Param // classification only: labels × hidden

	params    []*Param // of the base, in the order they are saved
	adapters  []*Param // A and B of every adapter, in order
	trainable []*Param
	// flat holds the trainable parameters one behind the other, so that the
	// optimiser works on four slices.
	flat struct{ value, grad, m, v []float32 }
	rope *tensor.RopeTable
	src  source
	// keepsAttention says that the passes of training keep the attention's
	// probabilities.
	keepsAttention bool
}

// newModel lays out the parameters of an architecture and reads their values.
// With an empty lora, everything can be trained; train asks for gradients.
// Weights of another shape, and more of them than there is memory for, are an
// error before anything is allocated.
func newModel(arch Arch, src source, lora *loraSpec, train bool) (*Model, error) {
	m := &Model{Arch: arch, src: src}
	m.layout()
	if lora != nil {
		if err := m.addAdapters(lora); err != nil {
			return nil, err
		}
	}
	if train {
		m.chooseTrainable(lora != nil)
	}
	if err := m.checkSource(); err != nil {
		return nil, err
	}
	m.allocate()
	err := readingFiles(func() error {
		for _, p := range m.params {
			if err := p.read(src); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if lora != nil {
		lora.initialise(m)
	}
	return m, nil
}

// readingFiles calls do, which reads mapped files. One that is cut short meanwhile
// is an error instead of the end of the program.
func readingFiles(do func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		v := recover()
		if _, isFault := v.(interface{ Addr() uintptr }); isFault {
			err = &fault.ConfigError{Detail: fault.Detail{Op: "load weights", Reason: "a file of the model was cut short while it was read",
				Hint: "restore it, and try again"}}
		} else if v != nil {
			panic(v)
		}
	}()
	return do()
}

// read takes the parameter's values from the source; frozen ones may be shared
// with it, or stay quantised.
func (p *Param) read(src source) error {
	if q, ok := src.(*quantSource); ok && !p.trainable() {
		var err error
		if p.Quant, err = q.quantized(p.Name, p.Shape); err != nil || p.Quant != nil {
			return err
		}
	}
	values, err := src.tensor(p.Name, p.Shape)
	if err != nil {
		return err
	}
	if p.trainable() {
		copy(p.Value, values)
	} else {
		p.Value = values
		if bytes, err := src.check(p.Name, p.Shape); bytes == 0 || err != nil {
			return err // the values are the file's
		}
	}
	src.release(p.Name)
	return nil
}

func (m *Model) layout() {
	a := m.Arch
	add := func(name string, decay bool, shape ...int) *Param {
		p := &Param{Name: name, Shape: shape, Decay: decay}
		m.params = append(m.params, p)
		return p
	}
	m.Embed = add(embedName, true, a.VocabSize, a.Hidden)
	for i := range a.Layers {
		prefix := fmt.Sprintf("model.layers.%d.", i)
		shapes := [][2]int{{a.attn(), a.Hidden}, {a.kv(), a.Hidden}, {a.kv(), a.Hidden}, {a.Hidden, a.attn()},
			{a.FFN, a.Hidden}, {a.FFN, a.Hidden}, {a.Hidden, a.FFN}}
		b := &Block{}
		b.Norm1 = add(prefix+"input_layernorm.weight", false, a.Hidden)
		linears := make([]*Linear, len(moduleNames))
		for j, mod := range moduleNames {
			linears[j] = &Linear{W: add(prefix+mod.part+"."+mod.name+".weight", true, shapes[j][0], shapes[j][1])}
		}
		b.Q, b.K, b.V, b.O, b.Gate, b.Up, b.Down =
			linears[0], linears[1], linears[2], linears[3], linears[4], linears[5], linears[6]
		b.Norm2 = add(prefix+"post_attention_layernorm.weight", false, a.Hidden)
		m.Blocks = append(m.Blocks, b)
	}
	m.linkLayers()
	m.Norm = add("model.norm.weight", false, a.Hidden)
	switch {
	case len(a.Labels) > 0:
		m.Score = add(scoreName, true, len(a.Labels), a.Hidden)
	case a.Tied:
		m.Head = m.Embed
	default:
		m.Head = add(headName, true, a.VocabSize, a.Hidden)
	}
}

// linkLayers notes the order in which the passes come to the linear layers.
func (m *Model) linkLayers() {
	var up, down []*Param
	for i := range m.Blocks {
		b := m.Blocks[i]
		up = append(up, b.Q.W, b.K.W, b.V.W, b.O.W, b.Gate.W, b.Up.W, b.Down.W)
		b = m.Blocks[len(m.Blocks)-1-i]
		down = append(down, b.Down.W, b.Gate.W, b.Up.W, b.O.W, b.K.W, b.V.W, b.Q.W)
	}
	for i := 1; i < len(up); i++ {
		up[i-1].above, down[i-1].below = up[i], down[i]
	}
}

// Names of parameters that are treated apart.
const (
	embedName = "model.embed_tokens.weight"
	headName  = "lm_head.weight"
	scoreName = "score.weight"
)

// chooseTrainable picks the adapters and the classification head, or
// everything.
func (m *Model) chooseTrainable(lora bool) {
	if lora {
		m.trainable = slices.Clone(m.adapters)
		if m.Score != nil {
			m.trainable = append(m.trainable, m.Score)
		}
	} else {
		m.trainable = slices.Clone(m.params)
	}
}

// trainedBytes is the memory of a trained parameter: its value, its gradient
// and two moments.
const trainedBytes = 4 * 4

// checkSource asks for every parameter before there is memory for any.
func (m *Model) checkSource() error {
	var need, trained int64
	picked := make(map[*Param]bool, len(m.trainable))
	for _, p := range m.trainable {
		picked[p] = true
		trained += int64(size(p.Shape))
	}
	for _, p := range m.params {
		bytes, err := m.src.check(p.Name, p.Shape)
		if err != nil {
			return err
		}
		if !picked[p] {
			need += bytes
		}
	}
	what, hint := "the model", "choose a smaller base_model, or lora.quantization: 4bit"
	switch {
	case picked[m.Embed]:
		what = fmt.Sprintf("training all %d parameters", trained)
		hint = "choose a smaller base_model, or train an adapter over it: lora.enabled: true"
	case len(m.trainable) == 0:
		hint = "close other programs, or use a machine with more memory"
	}
	return checkMemory(what, need+trainedBytes*trained, hint)
}

// allocate gives the trained parameters values, gradients and moments.
func (m *Model) allocate() {
	n := 0
	for _, p := range m.trainable {
		n += size(p.Shape)
	}
	m.flat.value = inLargePages(make([]float32, n))
	m.flat.grad = inLargePages(make([]float32, n))
	m.flat.m = inLargePages(make([]float32, n))
	m.flat.v = inLargePages(make([]float32, n))
	at := 0
	for _, p := range m.trainable {
		end := at + size(p.Shape)
		p.Value = m.flat.value[at:end:end]
		p.Grad = m.flat.grad[at:end:end]
		p.M = m.flat.m[at:end:end]
		p.V = m.flat.v[at:end:end]
		at = end
	}
}

// prepare makes the model ready for sequences of up to n positions.
func (m *Model) prepare(n int) {
	m.keepsAttention = n <= keptAttention
	if m.rope == nil || m.rope.Positions < n {
		m.rope = tensor.NewRopeTable(m.Arch.HeadDim, n, m.Arch.RopeTheta)
	}
}

// close releases the files behind frozen parameters.
func (m *Model) close() error { return m.src.close() }

// counts returns the numbers of trainable and of frozen parameters.
func (m *Model) counts() (trainable, frozen int64) {
	for _, p := range slices.Concat(m.params, m.adapters) {
		if p.trainable() {
			trainable += int64(size(p.Shape))
		} else {
			frozen += int64(size(p.Shape))
		}
	}
	return trainable, frozen
}

// lowestTrained is the first block whose input still has a trained parameter
// at or above it: the backward pass ends there. It is 0 when the embedding
// is trained.
func (m *Model) lowestTrained() int {
	if m.Embed.trainable() {
		return 0
	}
	for i, b := range m.Blocks {
		if b.Norm1.trainable() || b.Norm2.trainable() {
			return i
		}
		for _, l := range b.linears() {
			if l.trainable() {
				return i
			}
		}
	}
	return len(m.Blocks)
}

// kaimingBound is the bound of the uniform distribution that PEFT initialises
// A with: Kaiming-uniform with slope sqrt(5) has bound sqrt(6/((1+5)·in)).
// (He et al. 2015, "Delving Deep into Rectifiers", eq. 14.)
func kaimingBound(in int) float32 { return float32(1 / math.Sqrt(float64(in))) }
