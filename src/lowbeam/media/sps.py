"""The number of reference frames of an AVC stream, from its sequence parameter set (ITU-T H.264, 7.3.2.1.1)."""

from av.video.codeccontext import VideoCodecContext

SPS = 7  # nal_unit_type of a sequence parameter set
HIGH_PROFILES = {100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135}  # these state their chroma format


def reference_frames(context: VideoCodecContext) -> int | None:
    """``max_num_ref_frames`` of an AVC stream; None for another codec, or if it cannot be read."""
    if context.name != "h264":
        return None
    try:
        return _max_num_ref_frames(_sps(context.extradata or b""))
    except (IndexError, ValueError):
        return None


def _sps(extradata: bytes) -> bytes:
    """The first sequence parameter set, in ``avcC`` or after Annex B start codes, without emulation prevention."""
    if extradata[:1] == b"\x01":
        size = int.from_bytes(extradata[6:8], "big")
        unit = extradata[8 : 8 + size]
    else:
        units = [part for part in extradata.split(b"\0\0\1") if part and part[0] & 0x1F == SPS]
        unit = units[0]
    return unit.replace(b"\0\0\3", b"\0\0")


class _Bits:
    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0

    def bit(self) -> int:
        value = self._data[self._at // 8] >> (7 - self._at % 8) & 1
        self._at += 1
        return value

    def skip(self, count: int) -> None:
        self._at += count

    def exp_golomb(self) -> int:
        """ue(v) of ITU-T H.264, 9.1."""
        zeros = 0
        while not self.bit():
            zeros += 1
        value = 1
        for _ in range(zeros):
            value = value << 1 | self.bit()
        return value - 1

    def signed(self) -> int:
        """se(v) of ITU-T H.264, 9.1.1."""
        code = self.exp_golomb()
        return (code + 1) // 2 if code % 2 else -(code // 2)


def _max_num_ref_frames(sps: bytes) -> int:
    profile, bits = sps[1], _Bits(sps[4:])
    bits.exp_golomb()  # seq_parameter_set_id
    if profile in HIGH_PROFILES:
        _skip_chroma_format(bits)
    bits.exp_golomb()  # log2_max_frame_num_minus4
    order_count_type = bits.exp_golomb()
    if order_count_type == 0:
        bits.exp_golomb()
    elif order_count_type == 1:
        bits.skip(1)
        bits.signed()
        bits.signed()
        for _ in range(min(bits.exp_golomb(), 255)):
            bits.signed()
    return bits.exp_golomb()


def _skip_chroma_format(bits: _Bits) -> None:
    chroma_format = bits.exp_golomb()
    if chroma_format == 3:
        bits.skip(1)
    bits.exp_golomb()  # bit depths
    bits.exp_golomb()
    bits.skip(1)
    if bits.bit():
        for index in range(8 if chroma_format != 3 else 12):
            if bits.bit():
                _skip_scaling_list(bits, 16 if index < 6 else 64)


def _skip_scaling_list(bits: _Bits, size: int) -> None:
    last = following = 8
    for _ in range(size):
        if following:
            following = (last + bits.signed()) % 256
        last = following or last
