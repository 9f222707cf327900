// The microphone: samples, a detector of voice activity, and turns as WAV files. Used by the Talk page (talk.js).
window.dstMicrophone = (() => {
  const BLOCK = 0.02; // seconds that are judged at once
  const BEFORE = 0.4; // seconds kept from before a turn, so that its first syllable is in it
  const AFTER = 0.25; // and behind it: keys are let go early
  const SHORTEST = 0.2; // seconds of voice; less is a cough or a click
  const LONGEST = 60; // seconds; the model takes twice that
  const QUIETEST = -62, LOUDEST_FLOOR = -35; // dBFS between which the noise of a room lies
  const SETTLING = 0.4; // seconds in which an opened microphone finds its level
  const ONSET = 12, RELEASE = 9; // dB above that noise where a voice begins, and below which it ends

  // Collects what the audio thread delivers into blocks; a source text, because a worklet is loaded from an address.
  const WORKLET = `registerProcessor("dst-blocks", class extends AudioWorkletProcessor {
    constructor() { super(); this.block = new Float32Array(Math.round(sampleRate * ${BLOCK})); this.filled = 0; }
    process([[channel]]) {
      for (const sample of channel ?? []) {
        this.block[this.filled++] = sample;
        if (this.filled === this.block.length) { this.port.postMessage(this.block.slice()); this.filled = 0; }
      }
      return true;
    }
  })`;

  const decibels = (block) => 10 * Math.log10(block.reduce((sum, x) => sum + x * x, 0) / block.length + 1e-10);

  // Says of each block whether somebody speaks. The noise floor falls at once and rises by 3 dB a second.
  class VoiceDetector {
    constructor() { this.floor = QUIETEST; this.recent = []; this.speaking = false; this.settling = SETTLING; }
    hears(level) {
      this.settling -= BLOCK;
      this.floor = this.settling > 0 ? Math.max(level, this.floor) : Math.min(level, this.floor + 3 * BLOCK);
      this.floor = Math.min(Math.max(this.floor, QUIETEST), LOUDEST_FLOOR);
      if (this.settling > 0) return false;
      this.recent.push(level > this.floor + (this.speaking ? RELEASE : ONSET));
      if (this.recent.length > 6) this.recent.shift();
      this.speaking = this.recent.filter(Boolean).length >= (this.speaking ? 2 : 4);
      return this.speaking;
    }
  }

  const wav = (blocks, rate) => {
    const count = blocks.reduce((sum, block) => sum + block.length, 0);
    const view = new DataView(new ArrayBuffer(44 + 2 * count));
    const words = (at, text) => [...text].forEach((letter, place) => view.setUint8(at + place, letter.charCodeAt(0)));
    words(0, "RIFF"); view.setUint32(4, 36 + 2 * count, true); words(8, "WAVEfmt "); view.setUint32(16, 16, true);
    view.setUint16(20, 1, true); view.setUint16(22, 1, true); view.setUint32(24, rate, true);
    view.setUint32(28, 2 * rate, true); view.setUint16(32, 2, true); view.setUint16(34, 16, true);
    words(36, "data"); view.setUint32(40, 2 * count, true);
    let at = 44;
    for (const block of blocks) for (const x of block) {
      view.setInt16(at, Math.max(-1, Math.min(1, x)) * 32767, true);
      at += 2;
    }
    const stamp = new Date().toISOString().slice(11, 23).replaceAll(":", "-");
    return new File([view], `turn-${stamp}.wav`, { type: "audio/wav" });
  };

  const refusal = (error) => ({
    NotAllowedError: "The browser refused the microphone: allow it beside the address, or upload a recording.",
    NotFoundError: "No microphone was found: connect one, or upload a recording.",
    NotReadableError: "Another program holds the microphone: end that program, or upload a recording.",
  })[error.name] ?? `The microphone cannot be used (${error.message}): try another browser, or upload a recording.`;

  // on.level(dB), on.state("ready" | "hearing"), on.turn(file), on.tooShort()
  class Microphone {
    constructor(on) { this.on = on; this.silence = 0.8; this.handsFree = false; this.held = false; this.muted = false; }

    async open() {
      if (this.context) return;
      if (!window.isSecureContext || !navigator.mediaDevices)
        throw new Error("Browsers give no microphone to this address: open the studio on localhost or over HTTPS, or upload a recording.");
      const context = new AudioContext();
      try {
        const stream = await navigator.mediaDevices.getUserMedia({ audio: { echoCancellation: true, noiseSuppression: true } });
        const address = URL.createObjectURL(new Blob([WORKLET], { type: "text/javascript" }));
        await context.audioWorklet.addModule(address);
        URL.revokeObjectURL(address);
        await context.resume();
        const blocks = new AudioWorkletNode(context, "dst-blocks", { numberOfOutputs: 0 });
        blocks.port.onmessage = ({ data }) => this.hear(data);
        context.createMediaStreamSource(stream).connect(blocks);
        Object.assign(this, { context, stream, detector: new VoiceDetector() });
        this.reset();
      } catch (error) {
        context.close();
        throw new Error(refusal(error));
      }
    }

    close() {
      this.stream?.getTracks().forEach((track) => track.stop());
      this.context?.close();
      this.context = this.stream = null;
    }

    reset() { Object.assign(this, { before: [], turn: null, quiet: 0, voiced: 0, after: 0 }); }

    hold() { this.held = true; this.after = AFTER; }
    release() { this.held = false; }

    hear(block) {
      if (this.muted && !this.turn) return this.reset(); // what the loudspeaker says is nobody's turn
      const level = decibels(block);
      const voice = this.detector.hears(level);
      this.on.level(level);
      if (!this.turn) {
        this.before.push(block);
        if (this.before.length > BEFORE / BLOCK) this.before.shift();
        if (!this.held && !(this.handsFree && voice)) return;
        const heldForNow = this.held;
        Object.assign(this, { turn: this.before, before: [], byHand: heldForNow, quiet: 0, voiced: 0 });
        this.on.state("hearing");
      } else this.turn.push(block);
      if (voice) this.voiced += BLOCK;
      this.quiet = voice ? 0 : this.quiet + BLOCK;
      if (this.byHand && !this.held) this.after -= BLOCK;
      const over = this.byHand ? this.after <= 0 : this.quiet >= this.silence;
      if (over || this.turn.length * BLOCK >= LONGEST) this.end();
    }

    end() {
      const { turn, voiced, byHand } = this;
      this.reset();
      this.on.state("ready");
      if (voiced >= SHORTEST) this.on.turn(wav(turn, this.context.sampleRate));
      else if (byHand) this.on.tooShort();
    }
  }
  return Microphone;
})();
