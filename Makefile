# Photos of clothes in, key points out. `make` alone lists the targets.
# DATA=   one or more train roots (folders with Annotations/*.csv and Images/); without it the sample is drawn
# TEST=   folder with test.csv and Images/          ANSWERS=  its answers, to be scored (optional)
# PRESET= cpu | best | gpu | sample (files in configs/): cpu for DATA=, also where there is a GPU, since gpu is untried
# RUN=    run folder, may lie anywhere
# NAME=   keypoint network of the run (final)       VAL=1     leave fold 0 out and score on it (network val)
# REFINE= 1: make submit averages with a further crop around the points of the first (more exact, twice the time of stage 2)
# LAYOUT= coco, deepfashion2 or MODULE:OBJECT, for DATA= and TEST= of another form (docs/schemas.md); training is done anew when a file
#         directly in DATA= has changed, pictures aside
# SCHEMA= categories and points of your own (YAML)  START=    pair of networks to start from: cpu (the shipped one), or a folder
# ABLATION= file of what make ablate-* compares     SEEDS=    so many seeds a row;  ONLY=I/N share I of N of its runs, or ROW,ROW
# KNOWN=  results (NAME.json) of runs of the ablation that were made elsewhere, not to be made again
# BOXES=  boxes out of fold for all rows of make ablate-keypoints and match-matrix, instead of training detectors;
#         TEST_BOXES= those of TEST= for match-matrix
# LIMIT=  rehearse on so many images                ARGS=     more options for the command, such as --keypoints.train.lr 3e-4
PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/installed
PIPELINE := $(BIN)/python -m pipeline

ifeq ($(strip $(DATA)),)
PRESET ?= sample
SAMPLE_TRAIN ?= 1200
SAMPLE_TEST ?= 100
SAMPLE_SEED ?= 0
SAMPLE := data/sample-$(SAMPLE_TRAIN)-$(SAMPLE_TEST)-$(SAMPLE_SEED)
ROOTS := $(SAMPLE)/train
TEST ?= $(SAMPLE)/test
ANSWERS ?= $(wildcard $(TEST)/answer.csv)$(if $(wildcard $(TEST)/answer.csv),,$(SAMPLE)/test/answer.csv)
ANNOTATIONS := $(SAMPLE)/test/answer.csv
else
PRESET ?= cpu
ROOTS := $(DATA)
PICTURES := $(foreach suffix,jpg jpeg png webp bmp tif tiff gif avif,! -iname '*.$(suffix)')
ANNOTATIONS := $(if $(LAYOUT),$(DATA) $(shell find -L $(DATA) -maxdepth 1 -type f $(PICTURES) ! -name '* *'),$(wildcard $(addsuffix /Annotations/*.csv,$(DATA))))
endif

ifneq ($(strip $(STUDY)),)
ABLATION ?= $(STUDY)
$(warning STUDY=$(STUDY) is now ABLATION=$(ABLATION); the former name works for this release only)
endif
# Until this release the first crop was counted too.
ifneq ($(strip $(PASSES)),)
REFINE ?= $(shell expr $(PASSES) - 1)
$(warning PASSES=$(PASSES) is now REFINE=$(REFINE); the former name works for this release only)
endif

CONFIG := configs/$(PRESET).yaml
ifeq ($(wildcard $(CONFIG)),)
$(error PRESET=$(PRESET) is no preset; expected one of $(sort $(basename $(notdir $(wildcard configs/*.yaml)))))
endif
# Settings laid over the preset for a second training of stage 2, which goes on from the first, or from START=.
FURTHER := $(wildcard configs/further/$(PRESET).yaml)
# Run folders are named after what went in, so that two data sets never share results.
DATA_PRINT := $(shell (cat $(CONFIG) $(FURTHER) $(SCHEMA) $(if $(DATA),$(ANNOTATIONS)); echo $(SAMPLE) $(LIMIT) $(ARGS) $(if $(LAYOUT),$(LAYOUT) $(DATA))) 2>/dev/null | cksum | cut -d' ' -f1)
TEST_PRINT := $(shell (cat $(wildcard $(TEST)/test.csv); echo $(TEST) $(LIMIT) $(REFINE)) | cksum | cut -d' ' -f1)
RUN ?= runs/$(PRESET)-$(DATA_PRINT)
NAME ?= $(if $(VAL),val,final)
OUT ?= $(RUN)/submit-$(if $(filter-out final,$(NAME)),$(NAME)-)$(TEST_PRINT)
DETECTOR := $(RUN)/detector/final
KEYPOINTS := $(RUN)/keypoints/$(NAME)
FIRST := $(if $(FURTHER),$(if $(START),,$(NAME)-first))
WITH_SCHEMA := $(if $(SCHEMA),--schema $(SCHEMA))
WITH_LAYOUT := $(if $(LAYOUT),--layout $(LAYOUT))
RUN_OPTIONS = --run $(RUN) $(WITH_SCHEMA) $(WITH_LAYOUT) $(if $(LIMIT),--limit $(LIMIT))
OPTIONS = --config $(CONFIG) $(RUN_OPTIONS) $(ARGS)

.DELETE_ON_ERROR:
.PHONY: help install demo test test-slow test-scale scale scale-training soak fuzz mutants faults lint format sample check look train-detector boxes train-keypoints submit ablate-detector ablate-keypoints match-matrix gpu-kit

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-16s %s\n", $$1, $$2}'
	@echo "  with DATA=, TEST=, ANSWERS=, LAYOUT=, RUN=, NAME=, VAL=1, REFINE=, PRESET=sample|cpu|best|gpu, LIMIT=, ARGS=, ABLATION=, SEEDS=, ONLY=, KNOWN=, BOXES=, TEST_BOXES=, START= as the head of the Makefile says"

install: $(INSTALLED)  ## make .venv with exact versions
$(INSTALLED): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(v not in ((3, 11), (3, 12)) and f"Python 3.11 or 3.12 is needed, {sys.executable} is {v[0]}.{v[1]}; try make PYTHON=python3.12")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $@

demo: $(INSTALLED)  ## find the garments in six photos and six drawn pictures, within a minute
	$(PIPELINE) sample --out data/demo --train 1 --test 6
	$(PIPELINE) predict docs/photos data/demo/test/Images --out runs/demo
	@echo "look at runs/demo/overlays; your own: $(PIPELINE) predict FOLDER --out OUT"

test: $(INSTALLED)  ## run the fast tests (about 8 minutes on 2 slow cores)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m "not slow and not scale" -n auto --maxprocesses 4 --dist worksteal

test-slow: $(INSTALLED)  ## run the long tests
	$(BIN)/python -m pytest -m slow

test-scale: $(INSTALLED)  ## run the tests on a cluster of Ray, which is installed for them (about 5 minutes)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[ray]'
	$(BIN)/python -m pytest -m scale tests/scale

PHOTOS ?= 50000
scale: $(INSTALLED)  ## PHOTOS= (50000) small photos through Ray on this machine, with all that may go wrong (about 45 minutes)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[ray]'
	$(BIN)/python -m tests.scale --photos $(PHOTOS) --out docs/results/scale.json

scale-training: $(INSTALLED)  ## train in one, two and four processes, and as two nodes of torchrun (about 25 minutes)
	$(BIN)/python -m tests.scale.training --out docs/results/scale_training.json

soak: $(INSTALLED)  ## ask a server of 2,000 mixed requests, 50 at once; memory and statuses go to docs/results/soak.json (3 minutes)
	$(BIN)/python -m tests.soak --out docs/results/soak.json

MINUTES ?= 10
fuzz: $(INSTALLED)  ## feed damaged files to every reader for MINUTES= (10); the summary goes to docs/fuzz.md
	$(BIN)/python -m tests.fuzz $(MINUTES) docs/fuzz.md

mutants: $(INSTALLED)  ## break the code in one place at a time: a test must notice (about 15 minutes on two cores)
	$(BIN)/python -m tests.mutants --out docs/mutants.md

faults: $(INSTALLED)  ## play full disks, kills, foreign files and changing pictures on the commands (about 10 minutes)
	$(BIN)/python -m tests.faults --out docs/faults.md

lint: $(INSTALLED)  ## check style
	$(BIN)/ruff check . && $(BIN)/ruff format --check .

format: $(INSTALLED)  ## mend style
	$(BIN)/ruff check --fix . && $(BIN)/ruff format .

sample: | $(INSTALLED)  ## draw the sample dataset
	$(PIPELINE) sample --out $(SAMPLE) --train $(SAMPLE_TRAIN) --test $(SAMPLE_TEST) --seed $(SAMPLE_SEED)

ifneq ($(SAMPLE),)
$(SAMPLE)/test/answer.csv: | $(INSTALLED)
	$(PIPELINE) sample --out $(SAMPLE) --train $(SAMPLE_TRAIN) --test $(SAMPLE_TEST) --seed $(SAMPLE_SEED)
endif

check: $(ANNOTATIONS) | $(INSTALLED)  ## report all faults of DATA= and TEST=
	$(PIPELINE) check --data $(ROOTS) $(if $(TEST),--test $(TEST)) $(if $(ANSWERS),--answers $(ANSWERS)) $(WITH_SCHEMA) $(WITH_LAYOUT)

# A step is done when its record is there, which is written last.
look: $(RUN)/boxes.json  ## draw what the loaders really yield
	$(PIPELINE) look $(OPTIONS) --data $(ROOTS) --stage detector --out $(RUN)/look
	$(PIPELINE) look $(OPTIONS) --data $(ROOTS) --stage keypoints --out $(RUN)/look

train-detector: $(DETECTOR).json  ## train stage 1: a detector a fold, and the final one
$(DETECTOR).json: $(ANNOTATIONS) $(CONFIG) | $(INSTALLED)
	$(PIPELINE) train-detector $(OPTIONS) --data $(ROOTS) $(if $(START),--start $(START))

boxes: $(RUN)/boxes.json  ## predict the boxes of the training images, out of fold
$(RUN)/boxes.json: $(DETECTOR).json
	$(PIPELINE) boxes $(OPTIONS) --data $(ROOTS)

train-keypoints: $(KEYPOINTS).json  ## train stage 2 on those boxes
$(KEYPOINTS).json: $(RUN)/boxes.json
	$(if $(FIRST),$(PIPELINE) train-keypoints $(OPTIONS) --data $(ROOTS) --name $(FIRST) $(if $(VAL),--val))
	$(PIPELINE) train-keypoints --config $(CONFIG) $(if $(FURTHER),--config $(FURTHER)) $(RUN_OPTIONS) $(ARGS) --data $(ROOTS) \
		--name $(NAME) $(if $(VAL),--val) $(if $(FIRST),--start $(RUN)/keypoints/$(FIRST).safetensors,$(if $(START),--start $(START)))

submit: $(OUT)/submission.json  ## predict TEST= (and score it by ANSWERS=); does first what is missing
$(OUT)/submission.json: $(DETECTOR).json $(KEYPOINTS).json
	@test -n "$(TEST)" || { echo "TEST= must name a folder with test.csv"; exit 2; }
	$(PIPELINE) submit --test $(TEST) --detector $(DETECTOR).safetensors --keypoints $(KEYPOINTS).safetensors \
		--out $(OUT)/submission.csv $(if $(ANSWERS),--answers $(ANSWERS)) $(if $(LIMIT),--limit $(LIMIT)) \
		$(if $(REFINE),--refine $(REFINE)) $(WITH_SCHEMA) $(WITH_LAYOUT)
	@echo "submission: $(OUT)/submission.csv"

# Without ABLATION= the preset's own: a small one on the sample, pipeline/lab/configs/ablations/detector.yaml or keypoints.yaml elsewhere.
# PRESET= replaces the preset that an ablation names. An ablation keeps its run folder when rows are added to it.
ABLATION_OF = $(or $(ABLATION),pipeline/lab/configs/ablations/$(if $(filter sample,$(PRESET)),sample_)$*.yaml)
ABLATION_RUN = $(if $(filter file,$(origin RUN)),runs/$(basename $(notdir $(ABLATION_OF)))-$(PRESET)-$(DATA_PRINT),$(RUN))
ABLATION_BASE = $(if $(ABLATION),$(if $(filter command environment,$(origin PRESET)),--base $(CONFIG)),--base $(CONFIG))
ablate-detector:  ## compare settings of stage 1: ABLATION= (four rows on the sample, at most 20 minutes)
ablate-keypoints:  ## compare settings of stage 2, likewise
ablate-detector ablate-keypoints: ablate-%: $(ANNOTATIONS) | $(INSTALLED)
	$(PIPELINE) ablate --ablation $(ABLATION_OF) --data $(ROOTS) --run $(ABLATION_RUN) $(ABLATION_BASE) $(WITH_SCHEMA) $(WITH_LAYOUT) \
		$(if $(ONLY),--only $(ONLY)) $(if $(SEEDS),--seeds $(SEEDS)) $(if $(LIMIT),--limit $(LIMIT)) $(if $(KNOWN),--known $(KNOWN)) \
		$(if $(BOXES),--boxes $(BOXES)) $(ARGS)

# The detectors are those of `make submit`: a run folder that has them is gone on with. ARGS= are the matrix's own, such as --show.
match-matrix: $(ANNOTATIONS) | $(INSTALLED)  ## train on every kind of boxes, test on every kind: ABLATION= (pipeline/lab/configs/match/matrix.yaml)
	$(if $(BOXES),,$(PIPELINE) train-detector --config $(CONFIG) $(RUN_OPTIONS) --data $(ROOTS))
	$(PIPELINE) lab match-matrix --ablation $(or $(ABLATION),pipeline/lab/configs/match/matrix.yaml) --base $(CONFIG) --data $(ROOTS) --run $(RUN) \
		$(WITH_SCHEMA) $(WITH_LAYOUT) $(if $(ONLY),--only $(ONLY)) $(if $(SEEDS),--seeds $(SEEDS)) $(if $(LIMIT),--limit $(LIMIT)) \
		$(if $(KNOWN),--known $(KNOWN)) $(if $(BOXES),--boxes $(BOXES)) \
		$(if $(and $(TEST),$(ANSWERS)),--test $(TEST) --answers $(ANSWERS) --detector $(or $(TEST_BOXES),$(DETECTOR).safetensors)) $(ARGS)

KIT = $(if $(filter file,$(origin OUT)),runs/gpu-kit,$(OUT))
KIT_SCRIPT = PYTHON=$(abspath $(BIN))/python bash $(KIT)/$(1)/kit.sh
gpu-kit: $(ANNOTATIONS) | $(INSTALLED)  ## pack minutes of a GPU: OUT= (runs/gpu-kit) MINUTES= (12); with LIMIT= rehearse it here (docs/gpu.md)
	$(PIPELINE) lab gpu-pack --data $(ROOTS) --test $(TEST) --answers $(ANSWERS) --out $(KIT) $(if $(LIMIT),--limit $(LIMIT)) \
		--minutes $(if $(filter file,$(origin MINUTES)),12,$(MINUTES)) $(ARGS)
	$(if $(LIMIT),rm -rf $(KIT)-work && for part in $$(ls $(KIT)); do $(call KIT_SCRIPT,$$part) start $(KIT)-work || exit 1; done && \
		$(call KIT_SCRIPT,1) collect $(KIT)-work $(KIT)-results 36000)
