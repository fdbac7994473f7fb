"""The encoding of a file is found, or refused by name; its lines are read in it."""

import codecs
import re

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.containers import CONTAINERS
from tf_textrnn.base.errors import UserError
from tf_textrnn.data import encodings
from tf_textrnn.data.encodings import Encodings, check_encoding, find_encodings, numbered_lines

# Sentences of a language, and the encodings in which its people keep them.
SENTENCES = {
    "cp1252 iso8859_15 mac_roman cp850": [
        "Der Zug nach München fährt heute später ab",
        "Die Straße über die Brücke ist für größere Autos gesperrt",
        "Nächste Woche öffnet das Schwimmbad für die Schüler",
        "Er läuft jeden Morgen fünf Kilometer durch die Wälder",
    ],
    "cp1252 iso8859_15": [
        "Le garçon a trouvé la clé près de l'entrée",
        "Nous irons à la forêt dès que la pluie aura cessé",
        "Cette pièce a été rénovée l'année dernière",
        "Où se trouve l'hôtel où tu as dîné",
    ],
    "cp1252": [
        "El niño comió una manzana en el jardín",
        "Mañana habrá una reunión en el salón pequeño",
        "¿Dónde está la estación más cercana?",
        "La película del año pasado fue mejor según él",
    ],
    "cp1250": [
        "Wczoraj wieczorem poszliśmy na długą przechadzkę",
        "Książka leży na półce obok łóżka",
        "Proszę zamknąć drzwi, bo jest bardzo zimno i źle się czuję",
        "Żółta łódź płynęła w dół rzeki",
    ],
    "cp1254": [
        "Bugün hava çok güzel, dışarıda yürüyüş yapacağız",
        "Çocuklar bahçede oynuyor ve şarkı söylüyor",
        "İstanbul'a giden otobüs saat üçte kalkıyor",
        "Kitabı masanın üstüne bıraktığını söyledi",
    ],
    "cp1251 koi8_r cp866 iso8859_5": [
        "Сегодня утром мы гуляли по берегу реки",
        "Новая книга лежит на столе возле окна",
        "Поезд отправляется через двадцать минут",
        "Завтра обещают снег и сильный ветер",
    ],
    "cp1253": [
        "Το τρένο φεύγει σε δέκα λεπτά από τον σταθμό",
        "Η νέα ταινία ήταν πολύ καλή και είχε ωραία μουσική",
        "Αύριο θα πάμε όλοι μαζί στη θάλασσα",
        "Το βιβλίο είναι πάνω στο τραπέζι της κουζίνας",
    ],
    "cp1255": [
        "הרכבת יוצאת מהתחנה בעוד עשר דקות",
        "הספר החדש מונח על השולחן ליד החלון",
        "מחר נלך כולנו ביחד אל הים",
        "הסרט היה ארוך מדי אבל המוזיקה יפה",
    ],
    "cp1256": [
        "ينطلق القطار من المحطة بعد عشر دقائق",
        "الكتاب الجديد على الطاولة بجانب النافذة",
        "سنذهب غدا جميعا إلى البحر",
        "كان الفيلم طويلا جدا لكن الموسيقى جميلة",
    ],
    "cp874": [
        "รถไฟจะออกจากสถานีในอีกสิบนาที",
        "หนังสือเล่มใหม่อยู่บนโต๊ะข้างหน้าต่าง",
        "พรุ่งนี้เราจะไปทะเลด้วยกันทุกคน",
        "ภาพยนตร์ยาวเกินไปแต่เพลงไพเราะ",
    ],
    "gb18030": [
        "火车十分钟后从车站出发",
        "新书放在窗户旁边的桌子上",
        "明天我们大家一起去海边",
        "电影太长了,但是音乐很好听",
    ],
    "big5": [
        "火車十分鐘後從車站出發",
        "新書放在窗戶旁邊的桌子上",
        "明天我們大家一起去海邊",
        "電影太長了,但是音樂很好聽",
    ],
    "cp932 euc_jp": [
        "電車はあと十分で駅を出発します",
        "新しい本は窓のそばの机の上にあります",
        "明日はみんなで海へ行く予定です",
        "映画は長すぎたけれど、音楽はよかった",
    ],
    "cp949": [
        "기차는 십 분 뒤에 역을 떠납니다",
        "새 책은 창문 옆 책상 위에 있습니다",
        "내일 우리는 모두 함께 바다에 갈 것입니다",
        "영화는 너무 길었지만 음악은 아름다웠다",
    ],
}
CASES = [
    (encoding, sentences) for names, sentences in SENTENCES.items() for encoding in names.split()
]


def written(path, content: bytes) -> str:
    path.write_bytes(content)
    return str(path)


def read(path: str, encoding: str, newline: str = "\n") -> str:
    return "".join(line for _, line in numbered_lines(path, newline, encoding))


@pytest.mark.parametrize(("encoding", "sentences"), CASES, ids=[case[0] for case in CASES])
@pytest.mark.parametrize("in_english", [0, 500])
def test_the_encoding_of_real_sentences_is_found(tmp_path, encoding, sentences, in_english):
    lines = [f"label\t{sentence}\n" for sentence in sentences]
    text = "label\tthe train leaves in ten minutes\n" * in_english + "".join(lines)
    path = written(tmp_path / "x.tsv", text.encode(encoding))
    found = find_encodings(path)
    assert read(path, found.candidates[0]) == text
    assert (found.first_bad_line, found.num_bad) == (in_english + 1, 0)
    assert read(path, check_encoding(path, encoding).candidates[0]) == text


def test_what_few_bytes_leave_open_has_several_candidates(tmp_path):
    path = written(tmp_path / "x.tsv", b"a\tna\xefve\nb\tcaf\xe9\n")
    assert find_encodings(path).candidates == ("cp1252", "cp1250", "cp1251", "koi8_r")
    for content in ("pos\ta€\nneg\t€\ncafé\tx\n", "neg\taa€\npos\tßéß\ncafé\tx\n"):
        path = written(tmp_path / "x.tsv", content.encode("cp1252"))
        found = find_encodings(path).candidates
        assert "cp1252" in found
        assert len({content.encode("cp1252").decode(encoding) for encoding in found}) > 2


def test_one_percent_of_the_characters_may_be_broken_in_an_encoding(tmp_path):
    lines = "".join(f"a\t{line}\n" for line in CASES[0][1]) * 7
    num_letters = len(lines) - len(lines.encode("ascii", "ignore"))
    assert 100 < num_letters < 200
    for num_broken, is_found in ((1, True), (2, False)):
        broken = b"b\tf\x81r\n" * num_broken  # in cp1252 nothing
        found = find_encodings(written(tmp_path / "x.tsv", lines.encode("cp1252") + broken))
        assert ("cp1252" in found.candidates) == is_found
        assert found.num_bad == is_found


def test_sense_in_two_bytes_a_character_outweighs_sense_in_one(tmp_path):
    words = (
        "아침 저녁 점심 병원 회사 은행 내일 우리 너무 책상 위에 창문 두께 바다 것이 함께 모두 영화 "
        "기차 음악 아름 시간 사람 오늘 어제 친구 나라 마음 학교 가게 도시 여행"
    )
    path = written(tmp_path / "x.tsv", words.replace(" ", "\n").encode("cp949"))
    assert find_encodings(path).candidates == ("cp949",)


def test_a_file_that_is_utf_8_at_first_is_looked_at_where_it_is_not(tmp_path, monkeypatch):
    monkeypatch.setattr(encodings, "_BLOCK", 1 << 10)
    for start in ("a\tplain\n" * 2_000, ""):
        text = start + "а\tСегодня утром мы гуляли по берегу большой реки\n" * 200
        path = written(tmp_path / "x.tsv", text.encode("koi8_r"))
        found = find_encodings(path)
        assert (found.candidates[0], found.first_bad_line) == ("koi8_r", start.count("\n") + 1)
    long_ago = "a\tcafé\n" * 1_000
    path = written(tmp_path / "x.tsv", long_ago.encode() + b"b\t\xe9t\xe9\n" * 3)
    assert find_encodings(path) == Encodings(("utf-8",), 1_001, 6)


MARKS = {
    "utf-8": codecs.BOM_UTF8,
    "utf-16-le": codecs.BOM_UTF16_LE,
    "utf-16-be": codecs.BOM_UTF16_BE,
    "utf-32-le": codecs.BOM_UTF32_LE,
    "utf-32-be": codecs.BOM_UTF32_BE,
}


@pytest.mark.parametrize("text", ["a\tone\nb\ttwo\n", "頁\t中文的句子\n字\t第二\n", "a", "", "é\n"])
@pytest.mark.parametrize("encoding", MARKS)
def test_a_byte_order_mark_tells_the_encoding_and_is_no_text(tmp_path, encoding, text):
    path = written(tmp_path / "x.tsv", MARKS[encoding] + text.encode(encoding))
    found = find_encodings(path)
    assert found == Encodings((encoding.removesuffix("-le").removesuffix("-be"),))
    assert read(path, found.candidates[0]) == text
    assert read(path, check_encoding(path, encoding).candidates[0]) == text
    with pytest.raises(UserError, match=r"x\.tsv:1: --encoding=cp1252, but it is marked as utf-"):
        check_encoding(path, "cp1252")


@pytest.mark.parametrize(
    "text", ["a\tone\nb\ttwo\n", "頁\t中文的句子\r\n字\t第二\r\n" * 9, "one line"]
)
@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_zero_bytes_tell_utf_16_without_a_mark(tmp_path, encoding, text):
    path = written(tmp_path / "x.tsv", text.encode(encoding))
    assert find_encodings(path) == Encodings((encoding,))
    assert read(path, check_encoding(path, "utf-16").candidates[0]) == text


def test_utf_16_and_32_are_little_endian_where_nothing_tells(tmp_path):
    for encoding in ("utf-16", "utf-32"):
        path = written(tmp_path / "x.tsv", "頁\t中文\n".encode(f"{encoding}-le"))
        assert check_encoding(path, encoding) == Encodings((f"{encoding}-le",))


def test_zero_bytes_in_utf_8_do_not_make_it_utf_16(tmp_path):
    path = written(tmp_path / "x.tsv", b"a\tone\0two\nb\tthree\0\n" + "ü\tvier\n".encode())
    assert find_encodings(path) == Encodings(("utf-8",))
    assert read(path, "utf-8") == "a\tone\ufffdtwo\nb\tthree\ufffd\nü\tvier\n"


@pytest.mark.parametrize(("encoding", "text"), [("iso2022_jp", "電車\n"), ("iso2022_kr", "기차\n")])
def test_escape_sequences_tell_their_encoding(tmp_path, encoding, text):
    path = written(tmp_path / "x.tsv", text.encode(encoding))
    assert find_encodings(path) == Encodings((encoding,))


def test_broken_places_in_utf_8_leave_it_utf_8(tmp_path):
    whole = "a\tein schöner Tag für größere Züge\n" * 10
    cut = "a\tein schö".encode()[:-1] + b"\n"
    kept = "b\tU+FFFD \ufffd of the file itself\n".encode()
    path = written(tmp_path / "x.tsv", kept + whole.encode() + cut + cut)
    assert find_encodings(path) == Encodings(("utf-8",), 12, 2)
    assert read(path, "utf-8").endswith("\na\tein sch\ufffd\na\tein sch\ufffd\n")


def test_broken_places_in_another_encoding(tmp_path):
    whole = "".join(f"财经\t{sentence}\n" for sentence in SENTENCES["gb18030"] * 9)
    path = written(tmp_path / "x.tsv", whole.encode("gb18030") + b"\xb2\xc6\xbe\n")
    found = find_encodings(path)
    assert (found.candidates[0], found.first_bad_line, found.num_bad) == ("gb18030", 1, 1)
    assert check_encoding(path, "gbk") == Encodings(("gbk",), 37, 1)
    assert check_encoding(path, "utf8").num_bad > 300  # read all the same, as it was asked for


@pytest.mark.parametrize("encoding", ["no-such", "hex", "rot13", "a\0b", "", "ü"])
def test_an_unknown_encoding(tmp_path, encoding):
    path = written(tmp_path / "x.tsv", b"a\tone\n")
    with pytest.raises(
        UserError, match=re.escape("unknown; expected auto, or a name such as utf-8")
    ):
        check_encoding(path, encoding)


def test_bytes_that_an_encoding_cannot_read_name_the_line(tmp_path):
    path = written(tmp_path / "x.tsv", b"a\tone\nb\tcaf\xc3\xa9\n")
    with pytest.raises(
        UserError,
        match=r"x\.tsv:2: this is no text in --encoding=ascii, which cannot read 2 of 2 characters",
    ):
        check_encoding(path, "ascii")
    with pytest.raises(UserError, match=r"x\.tsv: this is no text in --encoding=idna \("):
        check_encoding(path, "idna")


def test_binary_data(tmp_path):
    path = written(tmp_path / "x.tsv", bytes(range(32)) * 9)
    with pytest.raises(UserError, match=r"x\.tsv: this is no text but binary data"):
        find_encodings(path)
    path = written(tmp_path / "x.tsv", bytes(range(128, 256)) * 9)
    with pytest.raises(UserError, match=r"x\.tsv:1: not UTF-8, and it cannot be told what else"):
        find_encodings(path)


LETTERS = "".join({character for _, lines in CASES for line in lines for character in line})
ENCODINGS = ["utf-8", "utf-16", "utf-32", *sorted({encoding for encoding, _ in CASES})]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    text=st.text(st.sampled_from(LETTERS + "\t\r\n,|") | st.characters()),
    encoding=st.sampled_from(ENCODINGS),
    kind=st.sampled_from([*CONTAINERS, ""]),
)
def test_any_text_reads_back_in_its_encoding(tmp_path, text, encoding, kind):
    content = text.encode(encoding, "ignore")
    text = content.decode(encoding).removeprefix("\ufeff").replace("\0", "\ufffd")
    path = written(tmp_path / "x", CONTAINERS[kind](content) if kind else content)
    try:
        assert read(path, check_encoding(path, encoding).candidates[0], newline="") == text
    except UserError as error:  # `%PDF-` and the like, ISO 2022 escapes, a mark of another encoding
        assert re.search("this is a|holds a|marked as", str(error))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(text=st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]) | st.just("\n")))
def test_any_text_in_utf_8_is_found_to_be_that(tmp_path, text):
    path = written(tmp_path / "x", text.encode())
    assert find_encodings(path) == Encodings(("utf-8",))
    assert read(path, "utf-8", newline="") == text.removeprefix("\ufeff")


def test_long_lines_are_refused_in_every_encoding(tmp_path, monkeypatch):
    monkeypatch.setattr(encodings, "MAX_LINE", 10)
    for encoding in ("utf-8", "utf-16", "gb18030"):
        path = written(tmp_path / "x.tsv", "123456789\n一二三四五六七八九十\n".encode(encoding))
        with pytest.raises(UserError, match=r"x\.tsv:2: the line is over 10 characters"):
            read(path, encoding)
