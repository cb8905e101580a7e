import { describeGradients } from '#test/support/describe-gradients.ts';
import { softmaxCases } from './cases/softmax.ts';

describeGradients('softmax', softmaxCases);
